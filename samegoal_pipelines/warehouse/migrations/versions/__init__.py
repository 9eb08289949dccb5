"""The steps, one module each, named by their revision: `0001_…`."""
