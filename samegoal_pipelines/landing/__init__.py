"""Landed files: what each asset held, per district and night, as Parquet on any fsspec URL.

The pipeline's own record of a night: what Qmlativ said, as it came, and what the pipeline made of
it. Not here: what the rows mean (`transforms`), or which night it is (`defs`).
"""

from samegoal_pipelines.landing.storage import LandingError
from samegoal_pipelines.landing.store import LandedFileError, Landing

__all__ = ["LandedFileError", "Landing", "LandingError"]
