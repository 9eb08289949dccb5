"""Access to Postgres: database URLs, sessions, driver errors, and the embedded server.

Our tables are in `tables` and `warehouse`.
"""
