"""Tests of the sandbox Qmlativ: over a real socket wherever a client could notice."""
