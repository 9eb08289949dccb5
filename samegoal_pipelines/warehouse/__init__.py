"""Postgres: the embedded server, tables and migrations, and publishing a snapshot in one transaction.

Frames come in checked and assembled; nothing here computes a status, talks to Qmlativ or knows Dagster.
"""
