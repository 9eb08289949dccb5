"""Reaching Postgres: database URLs, sessions, what a driver's error means, and the embedded server.

Knows no table of ours.
"""
