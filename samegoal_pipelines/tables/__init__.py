"""Every table that we land, publish or record, declared once: columns, types, descriptions, sources, key.

Here: the declarations, and what is derived from them: pandera schemas, SQLAlchemy tables, view DDL, column
lineage, and `docs/tables.md` (`python -m samegoal_pipelines.tables`). Not here: how rows are made
(transforms), read (qmlativ), stored (landing, warehouse) or shown (defs).
"""
