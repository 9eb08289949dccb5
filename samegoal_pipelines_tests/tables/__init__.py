"""Tests of the models and of the report about what a frame violates."""
