"""Who the districts are: the registry, their credentials sealed at rest, and whether a night could work.

Dagster's partitions are made by whoever registers a district; nothing here knows Dagster.
"""
