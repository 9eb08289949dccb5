"""The pipeline as Dagster sees it: assets, partitions, job, schedule, resources.

The only room that knows Dagster. Assets here are a few lines that call one function of another
room; no URL, no SQL and no rule about students lives here. `samegoal_pipelines.definitions` puts
the pieces together.
"""
