"""Use cases that the terminal and the UI share: run, replay, release, explain, forecast, erase.

Command-line parsing and printing live in `cli`; assets and jobs live in `defs`.
"""
