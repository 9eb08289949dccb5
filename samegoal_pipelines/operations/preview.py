"""Compare what a district's next night would publish with a file of what SameGoal has today."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.transforms.students_csv import (
    Comparison,
    StudentsFile,
    StudentsFileError,
    compare,
    read_students_csv,
    students_of,
)
from samegoal_pipelines.warehouse.export import published_students

if TYPE_CHECKING:
    from samegoal_pipelines.defs.dry_run import DryRun


def read_students_file(district_id: str, path: Path) -> StudentsFile:
    """Read a file in SameGoal's layout. Errors name the district, the file, the line and the column."""
    try:
        return read_students_csv(path.read_bytes())
    except StudentsFileError as error:
        error.district_id, error.step, error.object = district_id, "preview", path.name
        raise


def compare_with(deployment: Deployment, tried: DryRun, file: StudentsFile) -> Comparison:
    """Compare all students whom a dry run would leave published with a file, by student number."""
    district = deployment.registry.get(tried.district_id)
    carried_over = [
        student
        for student in published_students(deployment.warehouse, district.id)
        if student["student_id"] in tried.payload.carried_over
    ]
    tonight = students_of(tried.payload.status, tried.payload.students, district.name)
    return compare([*tonight, *carried_over], file)
