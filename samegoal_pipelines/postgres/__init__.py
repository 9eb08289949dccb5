"""Reaching Postgres: the parts of a database URL, what a session must be, what a driver's error means.

No table is known here, and no SQL runs beyond what tells whether a session can be used.
"""
