"""Tests of the rules on tiny literal frames: `builders` makes them, `naive` is the rules a second time."""
