"""Who the students are: one row of demographics for each student with a status.

Here: the student's own record, and which address, phone and e-mail go into it. Not here: statuses (`status`),
parents (`parents`).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.schemas import demographics as models
from samegoal_pipelines.transforms.columns import (
    NOWHERE,
    RowIndex,
    arrow,
    best_row_of,
    frame,
    given_text,
    ids,
    take,
    text,
)
from samegoal_pipelines.transforms.people import (
    find_addresses,
    find_emails,
    find_phones,
    find_suffixes,
    look_up_text,
    rows_by_id,
    sound,
)


class StudentDemographics(NamedTuple):
    """One row per student, and the students with a status whom Qmlativ's Student or Name does not know."""

    students: pd.DataFrame
    without_record: pd.DataFrame


def build_student_demographics(
    raw: Mapping[str, pd.DataFrame], statuses: pd.DataFrame
) -> StudentDemographics:
    """Describe the students of `statuses`, in its order, from `raw_students` (Qmlativ object → frame)."""
    records, names = sound(raw["Student"]), sound(raw["Name"])
    at_record = _records_of(records, statuses)
    at_name = rows_by_id(names, "NameID", np.append(ids(records["NameID"]), NOWHERE)[at_record])
    known = (at_record != NOWHERE) & (at_name != NOWHERE)

    rows, record, name = np.flatnonzero(known), at_record[known], at_name[known]
    columns = (
        {"student_id": take(arrow(statuses["student_id"]), rows)}
        | _record_columns(records, record)
        | _name_columns(raw, names, name)
        | {"grade": take(given_text(records["Grade"]), record)}
        | {"home_language": _home_languages(raw, records, record)}
        | find_addresses(raw, ids(names["NameID"])[name], preferred=("IsPhysical", "IsMailing"))
        | {"phone": find_phones(raw, ids(names["NameID"])[name])}
        | {"email": find_emails(raw, ids(names["NameID"])[name])}
        | {column: take(arrow(statuses[column]), rows) for column in ("building", "building_reporting_id")}
    )
    without_record = take(arrow(statuses["student_id"]), np.flatnonzero(~known))
    return StudentDemographics(
        frame({column: columns[column] for column in models.StudentDemographics.to_schema().columns}),
        frame({"student_id": without_record}),
    )


def _records_of(records: pd.DataFrame, statuses: pd.DataFrame) -> np.ndarray:
    """Per status the row of Student: of the deciding enrollment's school year, else of the latest."""
    student_ids = ids(statuses["student_id"])
    at_status = RowIndex(student_ids, "student_id of the statuses").find(ids(records["StudentID"]))
    asked = ids(records["SchoolYearIDAsked"])
    if not len(statuses):
        return np.empty(0, np.int64)
    fits = asked == ids(statuses["school_year_id"])[at_status]
    order = [fits.view(np.int8), asked]
    return best_row_of(student_ids, ids(records["StudentID"]), at_status != NOWHERE, order)


def _record_columns(records: pd.DataFrame, rows: np.ndarray) -> dict[str, pa.Array]:
    return {
        "student_number": take(text(records["StudentNumber"]), rows),  # as it came, blank or padded
        "student_reporting_id": take(given_text(records["CalculatedStudentStateID"]), rows),
    }


def _name_columns(
    raw: Mapping[str, pd.DataFrame], names: pd.DataFrame, rows: np.ndarray
) -> dict[str, pa.Array]:
    texts = {
        "first_name": "FirstName",
        "middle_name": "MiddleName",
        "last_name": "LastName",
        "legal_first_name": "FirstNameLegal",
        "legal_middle_name": "MiddleNameLegal",
        "legal_last_name": "LastNameLegal",
        "race": "Race",
    }
    others = {
        "birth_date": "BirthDate",
        "is_hispanic": "IsHispanic",
        "is_white": "IsWhite",
        "is_black": "IsBlack",
        "is_asian": "IsAsian",
        "is_native_american": "IsAlaskan",
        "is_pacific_islander": "IsHawaiian",
    }
    gender = pc.coalesce(given_text(names["Gender"]), given_text(names["GenderCode"]))
    return (
        {column: take(given_text(names[field]), rows) for column, field in texts.items()}
        | {column: take(arrow(names[field]), rows) for column, field in others.items()}
        | {"gender": take(gender, rows), "suffix": find_suffixes(raw, ids(names["NameSuffixID"])[rows])}
    )


def _home_languages(raw: Mapping[str, pd.DataFrame], records: pd.DataFrame, rows: np.ndarray) -> pa.Array:
    primary, native = (
        look_up_text(raw["Language"], "LanguageID", ids(records[field])[rows], "Description")
        for field in ("LanguageIDPrimary", "LanguageIDNative")
    )
    return pc.coalesce(primary, native)
