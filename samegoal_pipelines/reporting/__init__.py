"""The result of a night in every district, shown as a page, a terminal report and alerts.

SQL of the snapshots is in `warehouse`. Dagster sensors and assets are in `defs`.
"""
