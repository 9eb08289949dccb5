"""The Qmlativ Custom API client: authenticates, pages, and yields columns typed by declaration.

Imports no other room but `tables`, which declares the objects and fields. It keeps no data, writes no file,
logs nothing, and knows no Dagster. Each module is imported by itself: naming an error imports no Arrow.

errors      what can go wrong, by meaning        connection  address, credentials, limits
addresses   which addresses a source may have
transport   one HTTP exchange, done safely       auth        the token, shared by all threads
paging      which page comes next                decode      a page's bytes into columns
merging     do the pages make one set of rows?   gaps        was a row lost between two pages?
listing     one object and year, whole           client      one district: identity, grants, objects
workers     threads that ask, and threads that decode
reading     everything a night needs, at once, split by asset
"""
