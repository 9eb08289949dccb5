"""Landed files: each asset's tables per district and night, as Parquet on any fsspec URL.

They record a night: the rows that Qmlativ returned, and what the pipeline computed from them. What the rows
mean is up to `transforms`, and which night it is is decided in `defs`.
"""

from samegoal_pipelines.landing.storage import LandingError
from samegoal_pipelines.landing.store import LandedAsset, LandedFileError, Landing, Rewritten

__all__ = ["LandedAsset", "LandedFileError", "Landing", "LandingError", "Rewritten"]
