"""What bad input and bad luck get, each through the command line, a served sandbox and a real Postgres.

docs/faults.md tells the same for those who meet it, and names these tests.
"""
