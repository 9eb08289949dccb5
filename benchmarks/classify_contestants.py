"""Ours and the peers, classifying the same district. Each runs in a process of its own, on one thread."""

import os

os.environ["POLARS_MAX_THREADS"] = "1"  # read when Polars is imported

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.classify_data import TODAY

RESULT = ["student_id", "status", "reason", "enrollment_id"]
TABLES = ("EntryWithdrawal", "WithdrawalCode", "School", "SchoolYear")
A_YEAR_AGO = date(TODAY.year - 1, TODAY.month, TODAY.day)

Contest = tuple[Callable[[], Any], Callable[[Any], Any]]
"""What is timed, and its result as a frame with RESULT."""


def ours(folder: Path) -> Contest:
    """The public transforms, as the assets call them."""
    from samegoal_pipelines.transforms.enrollments import filter_enrollments
    from samegoal_pipelines.transforms.status import classify_students

    raw = _arrow_backed(folder)

    def run() -> Any:
        filtered = filter_enrollments(raw, TODAY)
        return classify_students(filtered.enrollments, filtered.excluded, TODAY)

    return run, lambda result: result.statuses[RESULT]


def validation(folder: Path) -> Contest:
    """Our declarations on the largest raw table, on both filtered ones and on the statuses."""
    from samegoal_pipelines.tables import enrollments
    from samegoal_pipelines.tables.validation import violations
    from samegoal_pipelines.transforms.enrollments import filter_enrollments
    from samegoal_pipelines.transforms.status import classify_students

    frames = _arrow_backed(folder)
    filtered = filter_enrollments(frames, TODAY)
    classified = classify_students(filtered.enrollments, filtered.excluded, TODAY)

    def run() -> None:
        for frame, table in (
            (frames["EntryWithdrawal"], enrollments.ENTRY_WITHDRAWAL.table),
            (filtered.enrollments, enrollments.FILTERED_ENROLLMENTS),
            (filtered.excluded, enrollments.EXCLUDED_ENROLLMENTS),
            (classified.statuses, enrollments.STUDENT_STATUS),
            (classified.uncertain, enrollments.UNCERTAIN_STUDENTS),
        ):
            assert violations(frame, table) == ""

    return run, lambda _: classified.statuses[RESULT]


def _arrow_backed(folder: Path) -> dict[str, Any]:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    return {
        name: pq.read_table(folder / f"{name}.parquet").to_pandas(types_mapper=pd.ArrowDtype)
        for name in TABLES
    }


def pandas_groupby(folder: Path) -> Contest:
    """What one would write in pandas: merges, np.select, a sort, groupby.agg."""
    import numpy as np
    import pandas as pd

    raw = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    for name in ("StartDate", "EndDate", "WithdrawalDate"):
        raw["EntryWithdrawal"][name] = pd.to_datetime(raw["EntryWithdrawal"][name])
    today, start = pd.Timestamp(TODAY), pd.Timestamp(A_YEAR_AGO)

    def run() -> Any:
        codes = raw["WithdrawalCode"][["WithdrawalCodeID", "Code"]]
        years = raw["SchoolYear"].drop(columns="Unreadable")
        schools = raw["School"].drop(columns="Unreadable")
        rows = (
            raw["EntryWithdrawal"]
            .merge(codes, on="WithdrawalCodeID", how="left", validate="many_to_one")
            .merge(years, on="SchoolYearID", how="left", validate="many_to_one")
            .merge(schools, on=["SchoolID", "SchoolYearID"], how="left", validate="many_to_one")
        )
        rows["code"] = rows["Code"].str.strip()
        rows["last_day"] = rows["EndDate"].fillna(rows["WithdrawalDate"] - pd.Timedelta(days=1))
        is_open = rows["last_day"].isna()
        in_year = rows["IsCurrentYearForProvidedEntity"] | rows["IsUpcomingYearForProvidedEntity"]
        rows["outcome"] = np.select(
            [
                rows["code"].str.upper() == "CECS",
                rows["last_day"] < start,
                is_open & ~in_year,
                rows["Unreadable"].notna(),
                rows["StudentID"].isna(),
                rows["StartDate"].isna(),
                rows["WithdrawalCodeID"].notna() & rows["code"].isna(),
                rows["last_day"] < rows["StartDate"],
            ],
            [
                "cecs",
                "outside",
                "never_closed",
                "unreadable",
                "no_student",
                "no_start",
                "unknown_code",
                "never_effective",
            ],
            "counted",
        )
        excluded = rows[rows["outcome"] != "counted"]
        counted = rows[rows["outcome"] == "counted"].copy()
        counted["upcoming"] = counted["StartDate"] > today
        counted["past"] = counted["last_day"] < today
        counted["current"] = ~counted["upcoming"] & ~counted["past"]
        counted["when"] = np.select([counted["current"], counted["upcoming"]], [2, 1], 0)
        counted["past_day"] = counted["last_day"].where(counted["past"], today)
        counted["order"] = np.where(
            counted["upcoming"], today - counted["StartDate"], counted["StartDate"] - today
        )
        order = ["when", "past_day", "IsDefaultEntity", "order", "EntryWithdrawalID"]
        deciding = counted.sort_values(order).drop_duplicates("StudentID", keep="last").set_index("StudentID")
        found = counted.groupby("StudentID").agg(
            current=("current", "any"), upcoming=("upcoming", "any"), past=("past", "any")
        )
        deciding = deciding[["EntryWithdrawalID", "code", "StartDate", "last_day", "Name", "StateAssignedID"]]
        found = found.join(deciding, validate="one_to_one")
        found["reason"] = np.select(
            [found["current"], found["upcoming"] & found["past"], found["upcoming"], found["code"] == "01"],
            ["current_enrollment", "between_enrollments", "upcoming_enrollment_only", "graduated"],
            "withdrawn",
        )
        found["status"] = np.select(
            [
                found["current"] | (found["upcoming"] & found["past"]),
                found["upcoming"],
                found["code"] == "01",
            ],
            ["ENROLLED", "PRE-ENROLLED", "GRADUATED"],
            "INACTIVE",
        )
        return found, excluded

    def result(outcome: Any) -> Any:
        return (
            outcome[0]
            .reset_index()
            .rename(columns={"StudentID": "student_id", "EntryWithdrawalID": "enrollment_id"})[RESULT]
        )

    return run, result


def polars_packed(folder: Path) -> Contest:
    """Polars at its best that we found: the order packed by hand into an integer, and its maximum taken."""
    return _polars(folder, packed=True)


def polars_sorted(folder: Path) -> Contest:
    """Polars as one would write it first: sort by the rules' order, take each student's first row."""
    return _polars(folder, packed=False)


def _polars(folder: Path, *, packed: bool) -> Contest:
    import polars as pl

    raw = {name: pl.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    first, last, when = pl.col("StartDate"), pl.col("last_day"), pl.col("when")
    code, in_year = pl.col("code"), pl.col("in_year")

    def filtered() -> Any:
        codes = raw["WithdrawalCode"].lazy().select("WithdrawalCodeID", code=pl.col("Code").str.strip_chars())
        flags = pl.col("IsCurrentYearForProvidedEntity") | pl.col("IsUpcomingYearForProvidedEntity")
        years = raw["SchoolYear"].lazy().select("SchoolYearID", in_year=flags)
        schools = raw["School"].lazy().select("SchoolID", "SchoolYearID", "Name", "StateAssignedID")
        return (
            raw["EntryWithdrawal"]
            .lazy()
            .join(codes, on="WithdrawalCodeID", how="left", maintain_order="left")
            .join(years, on="SchoolYearID", how="left", maintain_order="left")
            .join(schools, on=["SchoolID", "SchoolYearID"], how="left", maintain_order="left")
            .with_columns(last_day=pl.coalesce("EndDate", pl.col("WithdrawalDate") - timedelta(days=1)))
            .with_columns(
                outcome=pl.when(code.str.to_uppercase() == "CECS")
                .then(pl.lit("cecs"))
                .when(last < A_YEAR_AGO)
                .then(pl.lit("outside_window"))
                .when(last.is_null() & ~in_year)
                .then(pl.lit("never_closed"))
                .when(pl.col("Unreadable").is_not_null())
                .then(pl.lit("unreadable"))
                .when(pl.col("StudentID").is_null())
                .then(pl.lit("no_student"))
                .when(first.is_null())
                .then(pl.lit("no_start_date"))
                .when(pl.col("WithdrawalCodeID").is_not_null() & code.is_null())
                .then(pl.lit("unknown_withdrawal_code"))
                .when(last.is_null() & in_year.is_null())
                .then(pl.lit("no_school_year"))
                .when(last < first)
                .then(pl.lit("never_effective"))
            )
            .drop("EndDate", "WithdrawalDate", "Unreadable", "WithdrawalCodeID", "in_year")
            .collect()
        )

    def by_sorting(counted: Any) -> Any:
        days = first.to_physical()
        order = {
            "when": when,
            "past_day": pl.when(when == 0).then(last),
            "home": pl.col("IsDefaultEntity"),
            "order": pl.when(when == 1).then(-days).otherwise(days),
            "id": pl.col("EntryWithdrawalID"),
        }
        return (
            counted.lazy()
            .sort(list(order.values()), descending=True, nulls_last=True)
            .group_by("StudentID", maintain_order=True)
            .agg(pl.all().first(), past=(when == 0).any())
            .collect()
        )

    def by_packing(counted: Any) -> Any:
        days, past_day = first.to_physical().cast(pl.Int64), last.to_physical().cast(pl.Int64)
        low, high, past_low, past_high = counted.select(
            days.min().alias("low"),
            days.max().alias("high"),
            past_day.filter(when == 0).min().alias("past_low"),
            past_day.filter(when == 0).max().alias("past_high"),
        ).row(0)
        key = when.cast(pl.Int64) * (past_high - past_low + 1)
        key = key + pl.when(when == 0).then(past_day - past_low).otherwise(0)
        key = key * 2 + pl.col("IsDefaultEntity").cast(pl.Int64)
        key = key * (high - low + 1) + pl.when(when == 1).then(high - days).otherwise(days - low)
        key = key * counted.height + pl.int_range(pl.len())  # rows come in the order of their ids
        found = (
            counted.lazy()
            .select("StudentID", "when", key=key)
            .group_by("StudentID")
            .agg(pl.col("key").max(), past=when.min() == 0)
            .collect()
        )
        return counted[found["key"] % counted.height].with_columns(past=found["past"])

    def run() -> Any:
        rows = filtered()
        excluded = rows.filter(pl.col("outcome").is_not_null())
        counted = rows.filter(pl.col("outcome").is_null()).drop("outcome")
        counted = counted.with_columns(
            when=pl.when(first > TODAY).then(1).when(last < TODAY).then(0).otherwise(2).cast(pl.Int8)
        )
        found = by_packing(counted) if packed else by_sorting(counted)
        found = found.with_columns(
            reason=pl.when(when == 2)
            .then(pl.lit("current_enrollment"))
            .when((when == 1) & pl.col("past"))
            .then(pl.lit("between_enrollments"))
            .when(when == 1)
            .then(pl.lit("upcoming_enrollment_only"))
            .when(code == "01")
            .then(pl.lit("graduated"))
            .otherwise(pl.lit("withdrawn"))
        )
        status = {
            "current_enrollment": "ENROLLED",
            "between_enrollments": "ENROLLED",
            "upcoming_enrollment_only": "PRE-ENROLLED",
            "graduated": "GRADUATED",
            "withdrawn": "INACTIVE",
        }
        return found.with_columns(status=pl.col("reason").replace_strict(status)), excluded

    def result(outcome: Any) -> Any:
        found = outcome[0].rename({"StudentID": "student_id", "EntryWithdrawalID": "enrollment_id"})
        return found.select(RESULT).to_pandas()

    return run, result


CONTESTANTS: dict[str, Callable[[Path], Contest]] = {
    "ours": ours,
    "validation": validation,
    "pandas": pandas_groupby,
    "polars packed": polars_packed,
    "polars sorted": polars_sorted,
}


def prepare(name: str, folder: str, out: str) -> Callable[[], range]:
    """Read the tables. Return what is timed; its first call, the warm-up, writes the statuses to `out`."""
    run, result = CONTESTANTS[name](Path(folder))
    students: list[range] = []

    def work() -> range:
        outcome = run()
        if not students:
            frame = result(outcome).sort_values("student_id").reset_index(drop=True)
            frame.astype({"student_id": "int64"}).to_parquet(out)
            students.append(range(len(frame)))
        return students[0]

    return work
