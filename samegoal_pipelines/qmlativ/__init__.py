"""The Qmlativ Custom API client: authenticates, pages, and yields columns typed by declaration.

Objects and fields are declared in `tables`. The client keeps no data, writes no file, logs nothing and does
not know Dagster. Import each module by itself, so that naming an error does not import Arrow.

errors      what can go wrong, by meaning        connection  address, credentials, limits
addresses   which addresses are allowed
transport   one safe HTTP exchange               auth        the token, shared by all threads
paging      which page comes next                decode      a page's bytes into columns
merging     pages into one set of rows           gaps        rows lost between two pages
listing     all of one object and year           client      one district: identity, grants, objects
workers     threads that send requests, and threads that decode
reading     everything a night needs, by asset
"""
