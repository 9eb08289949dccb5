"""Who the districts are, how their secrets are kept, and whether their Qmlativ can be read.

No student's data passes through here, and nothing knows Dagster.
"""
