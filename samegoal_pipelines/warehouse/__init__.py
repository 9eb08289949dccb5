"""The Postgres warehouse: migrations, roles, and publishing a snapshot in one transaction.

It takes frames that are already checked. It computes no status, and knows neither Qmlativ nor Dagster.
"""
