"""Alembic's folder: how the schema `samegoal` came to be, step by step.

Each step in `versions` is frozen once released. `samegoal_pipelines.warehouse.engine.migrate` runs them.
"""
