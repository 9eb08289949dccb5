"""Alerts about a night: what they say, who has received them, and how they are sent.

The state of a night itself is read in `reports`.
"""
