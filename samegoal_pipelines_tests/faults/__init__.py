"""What bad input and bad luck do to a whole night, through the command line, a served sandbox and Postgres.

docs/faults.md names these tests. What a broken source does to one read is in `qmlativ`.
"""
