"""Who the students are: one row of demographics for each student with a status.

The student's own record, with address, phone and e-mail. Statuses are in `status`, parents in `parents`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.tables.people import STUDENT_DEMOGRAPHICS
from samegoal_pipelines.transforms.columns import (
    MISSING,
    NOWHERE,
    RowIndex,
    best_row_of,
    columns_of,
    frame_of,
    given,
    ids,
    real_dates,
    storable,
    take,
)
from samegoal_pipelines.transforms.people import (
    Columns,
    Tables,
    confidential_phones,
    find_addresses,
    find_emails,
    find_phones,
    find_suffixes,
    look_up_text,
    rows_by_id,
    sound_tables,
)
from samegoal_pipelines.transforms.withholding import WITHHOLD, Withholding


class StudentDemographics(NamedTuple):
    """One row per student, and the students with a status but no record in Qmlativ's Student or Name."""

    students: pd.DataFrame
    without_record: pd.DataFrame


def build_student_demographics(
    raw: Mapping[str, pd.DataFrame], statuses: pd.DataFrame, *, withholding: Withholding = WITHHOLD
) -> StudentDemographics:
    """Describe the students of `statuses`, in its order, from `raw_students` (Qmlativ object → frame)."""
    tables, status = sound_tables(raw), columns_of(statuses)
    records, names = tables["Student"], tables["Name"]
    at_record = _records_of(records, status)
    at_name = rows_by_id(names, "NameID", np.append(ids(records["NameID"]), NOWHERE)[at_record])
    known = (at_record != NOWHERE) & (at_name != NOWHERE)

    rows, record, name = np.flatnonzero(known), at_record[known], at_name[known]
    columns = (
        {"student_id": take(status["student_id"], rows)}
        | _record_columns(records, record)
        | _name_columns(tables, names, name)
        | {"grade": take(given(records["Grade"]), record)}
        | {"home_language": _home_languages(tables, records, record)}
        | find_addresses(tables, ids(names["NameID"])[name], preferred=("IsPhysical", "IsMailing"))
        | {"phone": find_phones(tables, ids(names["NameID"])[name], confidential_phones(raw, withholding))}
        | {"email": find_emails(tables, ids(names["NameID"])[name])}
        | {column: take(status[column], rows) for column in ("building", "building_reporting_id")}
    )
    without_record = take(status["student_id"], np.flatnonzero(~known))
    return StudentDemographics(
        frame_of({column: columns[column] for column in STUDENT_DEMOGRAPHICS.names}),
        frame_of({"student_id": without_record}),
    )


def find_confidential_phones(raw: Mapping[str, pd.DataFrame], withholding: Withholding) -> pd.DataFrame:
    """The students' own confidential numbers, from `raw_students`, as `ConfidentialPhones`.

    Includes students who are not published tonight, because their last published rows must hide it too.
    """
    records, confidential = columns_of(raw["Student"]), confidential_phones(raw, withholding)
    known = pd.DataFrame({"student": ids(records["StudentID"]), "person": ids(records["NameID"])})
    known = known[(known["student"] != MISSING) & (known["person"] != MISSING)].drop_duplicates()
    phones = pd.DataFrame({"person": confidential.people, "row": np.arange(len(confidential.people))})
    found = known.merge(phones, on="person", validate="many_to_many")
    return frame_of(
        {
            "student_id": pa.array(found["student"].to_numpy()),
            "parent_id": pa.nulls(len(found), pa.int64()),
            "digits": take(confidential.digits, found["row"].to_numpy()),
        }
    )


def _records_of(records: Columns, statuses: Columns) -> np.ndarray:
    """For each status, the row of Student of the deciding enrollment's school year, or else of the latest."""
    student_ids = ids(statuses["student_id"])
    at_status = RowIndex(student_ids, "student_id of the statuses").find(ids(records["StudentID"]))
    asked = ids(records["SchoolYearIDAsked"])
    if not len(student_ids):
        return np.empty(0, np.int64)
    fits = asked == ids(statuses["school_year_id"])[at_status]
    order = [fits.view(np.int8), asked]
    return best_row_of(student_ids, ids(records["StudentID"]), at_status != NOWHERE, order)


def _record_columns(records: Columns, rows: np.ndarray) -> dict[str, pa.Array]:
    return {
        "student_number": take(storable(records["StudentNumber"]), rows),  # as sent, even blank or padded
        "student_reporting_id": take(given(records["CalculatedStudentStateID"]), rows),
    }


def _name_columns(tables: Tables, names: Columns, rows: np.ndarray) -> dict[str, pa.Array]:
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
        "is_hispanic": "IsHispanic",
        "is_white": "IsWhite",
        "is_black": "IsBlack",
        "is_asian": "IsAsian",
        "is_native_american": "IsAlaskan",
        "is_pacific_islander": "IsHawaiian",
    }
    birth_date = take(real_dates(names["BirthDate"]), rows)
    gender = pc.coalesce(given(names["Gender"]), given(names["GenderCode"]))
    return (
        {column: take(given(names[field]), rows) for column, field in texts.items()}
        | {column: take(names[field], rows) for column, field in others.items()}
        | {"birth_date": birth_date, "gender": take(gender, rows)}
        | {"suffix": find_suffixes(tables, ids(names["NameSuffixID"])[rows])}
    )


def _home_languages(tables: Tables, records: Columns, rows: np.ndarray) -> pa.Array:
    primary, native = (
        look_up_text(tables["Language"], "LanguageID", ids(records[field])[rows], "Description")
        for field in ("LanguageIDPrimary", "LanguageIDNative")
    )
    return pc.coalesce(primary, native)
