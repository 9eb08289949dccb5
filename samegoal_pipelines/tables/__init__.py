"""Every table that we land, publish or record, declared once: columns, types, descriptions, sources, key.

The package holds the declarations and what is derived from them: pandera schemas, SQLAlchemy tables, view
DDL, column lineage, and `docs/tables.md` (`python -m samegoal_pipelines.tables`). Rows are made in
transforms, read in qmlativ, stored in landing and warehouse, and shown in defs.
"""
