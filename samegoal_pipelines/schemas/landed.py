"""Which model describes which landed table: asset → table → model.

Here: the table of tables, and the Arrow types that a landed file must have. Not here: the models, nor the
files (`landing`).
"""

from functools import cache

import pyarrow

from samegoal_pipelines.schemas.demographics import (
    ConfidentialPhones,
    RestrictedPairs,
    RestrictionKnown,
    ShownParents,
    ShownPublishedParents,
    StudentDemographics,
    StudentsWithoutRecord,
    WithholdingUsed,
)
from samegoal_pipelines.schemas.enrollments import FilteredEnrollments, LeftOutEnrollments
from samegoal_pipelines.schemas.fields import Table
from samegoal_pipelines.schemas.raw import RAW_MODELS
from samegoal_pipelines.schemas.reads import Reads
from samegoal_pipelines.schemas.status import (
    AbsentStudents,
    KeptStudents,
    PublishedStatus,
    StudentStatus,
    UncertainStudents,
)

LANDED_MODELS: dict[str, dict[str, type[Table]]] = {
    **{asset: {**models, "Reads": Reads} for asset, models in RAW_MODELS.items()},
    "cecs_filtered_enrollments": {"enrollments": FilteredEnrollments, "left_out": LeftOutEnrollments},
    "student_status": {"student_status": StudentStatus, "uncertain": UncertainStudents},
    "student_demographics": {
        "student_demographics": StudentDemographics,
        "without_record": StudentsWithoutRecord,
        "confidential": ConfidentialPhones,
        "withholding": WithholdingUsed,
    },
    "parent_demographics": {
        "parent_demographics": ShownParents,
        "restricted": RestrictedPairs,
        "restriction": RestrictionKnown,
        "confidential": ConfidentialPhones,
        "withholding": WithholdingUsed,
    },
    "held_snapshot": {
        "status": PublishedStatus,
        "students": StudentDemographics,
        "parents": ShownPublishedParents,
        "kept": KeptStudents,
        "restricted": RestrictedPairs,
        "confidential": ConfidentialPhones,
        "absent": AbsentStudents,
    },
}


@cache
def landed_types(asset: str, table: str) -> dict[str, pyarrow.DataType]:
    """Column → Arrow type of a landed table; empty for a table that no model describes."""
    model = LANDED_MODELS.get(asset, {}).get(table)
    if model is None:
        return {}
    return {name: column.dtype.type.pyarrow_dtype for name, column in model.to_schema().columns.items()}
