"""The rules: pure functions from frames (and the district's `today`) to frames.

Here: the import window, CECS, set-aside rows, statuses, reasons, demographics. Not here: a clock, the
environment, a log, a database, Dagster, files, HTTP. `enrollments` and `status` carry out the rules of
enrollment-status.md.
"""
