"""One strict pandera model per table, and the report that tells what a frame violates without quoting it.

Here: columns, types, descriptions, checks, and `report.validate`. Not here: how a table comes about
(transforms, qmlativ), where it is kept (landing, warehouse), Dagster.
"""
