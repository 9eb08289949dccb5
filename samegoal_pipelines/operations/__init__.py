"""Use cases that the terminal and the UI share: run, replay, release, explain, erase."""
