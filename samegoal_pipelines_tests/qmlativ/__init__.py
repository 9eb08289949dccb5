"""Tests of the Qmlativ client: over real sockets, asserting what a person would read."""
