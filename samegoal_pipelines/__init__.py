"""Nightly student status and demographics snapshots for SameGoal, read from Skyward Qmlativ."""
