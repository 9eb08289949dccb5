"""The Qmlativ Custom API client: authenticates, pages, and yields columns typed by declaration.

It keeps no data, writes no file, logs nothing and does not know Dagster. Import each module by itself, so
that naming an error does not import Arrow. From the bottom up: `errors`, `connection`, `decode`, `transport`,
`paging`, `listing` (one object and year), `client` (one district), `reading` (everything a night needs).
"""
