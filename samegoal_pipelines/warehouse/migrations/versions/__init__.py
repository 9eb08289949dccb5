"""The steps, one module each, named by their revision: `v0001_…`."""
