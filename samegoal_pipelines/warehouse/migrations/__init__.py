"""Alembic's folder: how the schema `samegoal` changes from version to version.

A new database gets the tables as they are declared today (`0001_initial`) and skips the later steps. An older
one gets the steps that it lacks: add one with `alembic.op` and the next number, from `script.py.mako`. Views,
functions, grants and policies belong to no step: `engine.migrate` makes them again after every upgrade, from
`tables/history.py` and `access.sql`.
"""
