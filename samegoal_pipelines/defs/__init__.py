"""The pipeline as Dagster sees it: assets, partitions, job, schedule, resources.

Only this package knows Dagster. An asset is a few lines that call one function of another package, without
URLs, SQL or rules about students. `samegoal_pipelines.definitions` combines everything.
"""
