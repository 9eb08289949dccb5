"""What became of a night in every district: read once, shown as a page, a terminal report and alerts.

SQL of the snapshots lives in `warehouse`; Dagster sensors and assets live in `defs`.
"""
