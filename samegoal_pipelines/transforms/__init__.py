"""The rules: pure functions from frames (and the district's `today`) to frames.

The import window, CECS, quarantined rows, statuses, reasons and demographics live here. No clock,
environment, log, database, Dagster, files or HTTP. docs/rules.md lists the rules and their tests.
"""
