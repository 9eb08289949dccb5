"""A whole district, in one pass, from the sandbox: what lands, what never lands, and what ends a read."""

import copy
import datetime as dt
import json
import tracemalloc
import zlib
from collections import Counter
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pytest

from samegoal_pipelines.qmlativ import errors
from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.errors import GRANT, GRANT_ENTITY, QmlativError
from samegoal_pipelines.qmlativ.reading import read_district, school_years
from samegoal_pipelines.sandbox import Sandbox, serve
from samegoal_pipelines.sandbox.district import table_of
from samegoal_pipelines.tables.catalog import NEEDED
from samegoal_pipelines.tables.enrollments import ENTRY_WITHDRAWAL
from samegoal_pipelines.tables.people import NAME_EMAIL
from samegoal_pipelines.transforms.reads import rows_by_listing
from samegoal_pipelines_tests.qmlativ.scripted import IMPATIENT, Reply, Request, connection_to, serving

TODAY = dt.date(2026, 10, 1)
ASSETS = ("raw_enrollments", "raw_students", "raw_parents")
SMALL_PAGES = 50


@pytest.fixture(scope="module")
def generated():
    return Sandbox.generate(districts=2, students=[90, 30], seed=3, today=TODAY)


@pytest.fixture
def sandbox(generated):
    """The same two districts for every test, free to be changed."""
    return copy.deepcopy(generated)


@pytest.fixture
def server(sandbox):
    with serve(sandbox) as running:
        yield running


@pytest.fixture
def district(sandbox):
    return sandbox.districts[0]


def connection(server, district, **settings):
    return connection_to(server, district, **{"page_size": SMALL_PAGES, **settings})


def read(server, district, assets=ASSETS, *, expected_rows=None, progress=None, **settings):
    with QmlativClient(connection(server, district, **settings)) as client:
        return read_district(client, assets, expected_rows=expected_rows, progress=progress)


def failure(kind, server, district, **settings):
    with pytest.raises(kind) as failed:
        read(server, district, **settings)
    said = str(failed.value)
    assert not any(hidden in said for hidden in (district.client_secret, "127.0.0.1", "\n"))
    return said


def assert_same(one, other):
    """The same rows, however they were read."""
    for asset, frames in one.items():
        assert frames.keys() == other[asset].keys()
        for name in frames.keys() - {"Reads"}:
            pd.testing.assert_frame_equal(frames[name], other[asset][name])


def account(result, name):
    """The object's row in the table of reads of raw_enrollments."""
    return result["raw_enrollments"]["Reads"].set_index("Object").loc[name]


def test_every_asset_gets_the_frames_and_columns_of_the_catalogue(server, district):
    result = read(server, district)
    assert set(result) == set(ASSETS)
    for asset, wanted in NEEDED.items():
        assert {entry.name for entry in wanted} == set(result[asset]) - {"EntityAccess", "Reads"}
        for entry in wanted:
            frame = result[asset][entry.name]
            asked = ["SchoolYearIDAsked"] if entry.name == "Student" else []
            assert list(frame) == [*(field.name for field in entry.fields), *asked, "Unreadable"]
            types = {"integer": "int64", "text": "string", "date": "date32[day]", "flag": "bool"}
            for field in entry.fields:
                assert str(frame.dtypes[field.name]) == f"{types[field.type]}[pyarrow]"
            assert frame["Unreadable"].isna().all()
        assert result[asset]["Reads"]["Rows"].tolist() == [len(result[asset][entry.name]) for entry in wanted]


def test_enrollments_of_three_school_years_arrive_as_they_are(server, district):
    result = read(server, district, ["raw_enrollments"])
    frame = result["raw_enrollments"]["EntryWithdrawal"]
    rows = {row["EntryWithdrawalID"]: row for row in district.rows("Enrollment/EntryWithdrawal")}
    years = json.loads(account(result, "EntryWithdrawal")["SchoolYearIDs"])
    assert years == [26, 27, 28]
    assert len(frame) == sum(row["SchoolYearID"] in years for row in rows.values()) > 90
    came = pa.Table.from_pandas(frame.drop(columns="Unreadable"), preserve_index=False).to_pylist()
    for row in table_of("Enrollment/EntryWithdrawal", came):
        assert row == rows[row["EntryWithdrawalID"]]


def test_a_student_comes_once_per_school_year_with_the_year_that_was_asked_for(server, district):
    students = read(server, district, ["raw_students"])["raw_students"]["Student"]
    asked = students.groupby("StudentID")["SchoolYearIDAsked"].agg(lambda years: str(sorted(years)))
    assert set(asked) == {"[26, 27, 28]"}
    grades = students.groupby("StudentID")["Grade"].nunique()
    assert (grades > 1).any()


def test_rows_of_staff_and_of_strangers_never_land_even_if_the_condition_is_ignored(server, district):
    """A server that ignores SearchCondition sends everybody's names; contacts come of everybody anyway."""
    names = district.rows("Demographics/Name")
    everybody = [{**row, "IsStudentName": True, "IsGuardianName": True} for row in names]
    district.replace_rows("Demographics/Name", everybody)
    result = read(server, district)
    students, parents = result["raw_students"], result["raw_parents"]
    of_students = set(students["Student"]["NameID"])
    of_guardians = set(parents["StudentGuardian"]["NameIDGuardian"])
    for frames, people in ((students, of_students), (parents, of_guardians)):
        assert set(frames["Name"]["NameID"]) == people
        for name in ("NamePhone", "NameEmail", "NameAddress"):
            assert len(frames[name])
            assert set(frames[name]["NameID"]) <= people
        assert set(frames["Address"]["AddressID"]) == set(frames["NameAddress"]["AddressID"])
    staff = {row["NameID"] for row in names} - of_students - of_guardians
    assert staff & {row["NameID"] for row in district.rows("Demographics/NamePhone")}


def test_objects_that_two_assets_share_are_read_once(server, district):
    read(server, district, page_size=10_000)
    lists = Counter(asked.object for asked in server.traffic.requests(kind="list"))
    names = ("Demographics/NamePhone", "Demographics/Name", "Student/Student")
    assert [lists[name] for name in names] == [1, 2, 3]
    described = [entry.object for entry in server.traffic.requests(kind="describe") if entry.entity == 1]
    assert sorted(described) == sorted({each.path for wanted in NEEDED.values() for each in wanted})
    assert len(server.traffic.requests(kind="metadata")) == 1
    assert server.traffic.token_calls == 1


def test_an_asset_can_be_read_alone_and_is_the_same(server, district):
    together = read(server, district)
    for asset in ASSETS:
        alone = read(server, district, [asset])
        assert list(alone) == [asset]
        assert_same(alone, together)


def test_requests_never_exceed_the_limit_of_connections(server, district):
    district.latency = 0.01
    first = read(server, district, connections=3)
    assert server.traffic.peak_concurrency == 3
    server.traffic.clear()
    read(server, district, expected_rows=arrived(first), connections=3)
    assert server.traffic.peak_concurrency == 3


def reads(result):
    return pd.concat([tables["Reads"] for tables in result.values()])


def arrived(result):
    return rows_by_listing([reads(result)])


@pytest.mark.parametrize("factor", [0, 0.4, 1, 2.5])
def test_last_nights_counts_change_nothing_about_the_result(server, district, factor):
    first = read(server, district)
    counts = {label: int(rows * factor) for label, rows in arrived(first).items()}
    again = read(server, district, expected_rows=counts)
    assert_same(first, again)
    assert reads(again)["ShortPages"].sum() == 0


def test_a_token_that_expires_at_any_page_in_turn_changes_nothing(server, district):
    def entries():
        with QmlativClient(connection(server, district, page_size=10)) as client:
            return client.read(ENTRY_WITHDRAWAL, school_year_id=27).table

    whole = entries()
    pages = -(-whole.num_rows // 10)
    assert pages >= 8
    for page in range(1, pages + 1):
        server.faults.clear()
        server.traffic.clear()
        fault = server.faults.add(kind="list", page=page, times=1, expire_tokens=True)
        assert entries().equals(whole)
        assert len(server.traffic.requests(kind="token")) == 2
        assert fault.applied == 1


def test_a_missing_required_field_is_noticed_before_any_student_is_read(server, district):
    district.denied_fields.add("Student/Student.StudentNumber")
    assert failure(errors.AccessRefusedError, server, district) == (
        f"Student/Student: the field StudentNumber is not granted; {GRANT}"
    )
    asked = {entry.object for entry in server.traffic.requests(kind="list")}
    assert asked <= {"District/SchoolYear", "District/Entity"}


def test_an_object_or_entity_that_is_not_granted_is_named(server, district):
    said = failure(errors.AccessRefusedError, server, district, entity_id=987)
    assert said.endswith(f"description: entity 987 is not granted; {GRANT_ENTITY}")
    district.denied_fields.add("Family/StudentGuardian")
    assert failure(errors.AccessRefusedError, server, district) == (
        f"Family/StudentGuardian, description: not available to this Integration Access (HTTP 403); {GRANT}"
    )


def test_another_entity_can_be_read_as(server, district):
    entities = read(server, district, ["raw_enrollments"])["raw_enrollments"]["Entity"]
    campus = int(entities.loc[entities["EntityID"] != 1, "EntityID"].iloc[0])
    result = read(server, district, ["raw_enrollments"], entity_id=campus)
    assert set(result["raw_enrollments"]["EntryWithdrawal"]["EntityID"]) == {campus}
    path = account(result, "EntryWithdrawal")["Path"]  # without the host
    assert path == f"/Custom/{campus}/Enrollment/EntryWithdrawal"


def test_one_object_that_fails_ends_the_whole_read_quickly_and_names_itself(server, district):
    server.faults.add(kind="list", object="Demographics/NameEmail", status=400)
    server.faults.add(kind="list", object="Student/Student", hang=60)
    said = failure(QmlativError, server, district)
    assert said == (
        "Demographics/NameEmail, page 1: Qmlativ refuses the request (HTTP 400); run again, and ask "
        "Skyward's support if it happens again"
    )
    assert not server.traffic.requests(kind="list", object="Student/Student")  # they hang to this moment


def test_a_passing_outage_changes_nothing(server, district):
    first = read(server, district)
    outages = [
        server.faults.add(kind="list", nth=10, times=5, status=503),
        server.faults.add(kind="list", nth=20, drop=True),
        server.faults.add(kind="list", nth=30, cut=0.5),
    ]
    result = read(server, district, retry_policy=replace(IMPATIENT, attempts=8))
    assert_same(first, result)
    assert [outage.applied for outage in outages] == [5, 1, 1]
    retries = reads(result).drop_duplicates("Arrived")["Retries"].sum()
    assert 0 < retries <= 7  # those of checks between pages are not counted


EMAIL = "Demographics/NameEmail"


def deleted(serving, spread):
    """The rows behind it move up, and one of them onto a page that was read already."""
    serving.remove_row(EMAIL, spread * 5)


def inserted(serving, spread):
    serving.add_row(EMAIL, NameEmailID=0, NameID=0, Rank=1)


def changed(serving, spread, row=200):
    serving.edit(EMAIL, spread * row, EmailAddress="changed@example.com")


def inserted_and_changed(serving, spread):
    """The last row of the first page comes again, on the second, with another content."""
    changed(serving, spread, SMALL_PAGES)
    inserted(serving, spread)


@pytest.mark.parametrize("expected_rows", [None, 200])
@pytest.mark.parametrize(
    ("happens", "spread", "rereads"),
    [
        *((deleted, spread, 1) for spread in (1, 3, 1000)),
        *((inserted, 3, 0), (changed, 3, 0), (inserted_and_changed, 3, 1)),
    ],
)
def test_rows_that_change_between_two_pages_give_the_set_that_a_quiet_read_gives(
    server, district, happens, spread, rereads, expected_rows
):
    district.replace_rows(
        EMAIL,
        [{"NameEmailID": spread * n, "NameID": n, "Rank": 1, "EmailAddress": ""} for n in range(1, 201)],
    )
    with QmlativClient(connection(server, district, connections=1)) as client:
        server.faults.add(kind="list", object=EMAIL, nth=2, run=lambda serving: happens(serving, spread))
        drifting = client.read(NAME_EMAIL, expected_rows=expected_rows)
        quiet = client.read(NAME_EMAIL)
    seen, expected = (
        [row for row in found.table.to_pylist() if row["NameEmailID"]] for found in (drifting, quiet)
    )
    assert seen == expected
    assert (drifting.account["Rereads"], drifting.account["GapsChecked"]) == (rereads, True)


def test_a_gzip_bomb_on_every_connection_ends_at_the_cap_and_takes_less_than_100_mb(server, district):
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    server.faults.add(kind="list", body=bomb, headers={"Content-Encoding": "gzip"})
    tracemalloc.start()
    try:
        said = failure(errors.MalformedAnswerError, server, district)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ", page 1: the answer is larger than 32 MB, more than any page has" in said
    assert peak < 100 * 2**20


def test_an_empty_district_is_read_as_empty_frames(server, district):
    for name in district.tables:
        if name not in ("District/SchoolYear", "District/Entity"):  # one entity is needed to ask as
            district.replace_rows(name, [])
    result = read(server, district)
    assert {len(frame) for name, frame in result["raw_students"].items() if name != "Reads"} == {0}


def test_progress_tells_the_rows_of_each_object_over_all_school_years(server, district):
    reported = []
    result = read(server, district, progress=lambda name, rows: reported.append((name, rows)))
    for name in ("EntryWithdrawal", "SchoolYear"):
        rows = sum(rows for reported_name, rows in reported if reported_name == name)
        assert rows == account(result, name)["Rows"] > 0


def test_the_account_of_an_object_adds_up_its_school_years():
    """The codes are the same each year. One year's enrollments come unsorted, so they are read twice."""
    entries = {"26": {1: [5, 1, 3], 2: [4, 2]}, "27": {1: [6, 7]}}

    def answers(request: Request) -> Reply | None:
        if request.page is None:
            return None
        name, (year,) = request.path.split("/")[-3], request.query.get("SchoolYearID", ["-"])
        nulls = {fields[0]: None for field, fields in request.query.items() if field != "SchoolYearID"}
        if (name, year) == ("EntryWithdrawal", "27"):
            del nulls["IsCrossEntityCourseEnrollment"]
        pages = entries[year] if name == "EntryWithdrawal" else {1: [1]}
        rows = [nulls | {f"{name}ID": number} for number in pages[request.page]]
        if name == "SchoolYear":
            rows = [
                nulls | {"SchoolYearID": n, "NumericYear": n, "IsCurrentYearForProvidedEntity": n == 27}
                for n in (26, 27)
            ]
        following = f"/Custom/1/Enrollment/{name}/2/3" if request.page + 1 in pages else None
        return Reply(body={"Objects": rows, "Paging": {"Next": following}})

    with serving(answers) as scripted, QmlativClient(scripted.connection()) as client:
        result = read_district(client, ["raw_enrollments"])
    entry, code = account(result, "EntryWithdrawal"), account(result, "WithdrawalCode")
    listing = "Enrollment/EntryWithdrawal?SchoolYearID="
    assert json.loads(entry["Arrived"]) == {f"{listing}26": 5, f"{listing}27": 2}
    assert json.loads(entry["Missing"]) == ["IsCrossEntityCourseEnrollment"]
    counts = ["Rows", "Repeats", "Pages", "Rereads", "GapsChecked"]
    assert entry[counts].tolist() == [7, 0, 5, 1, False]
    assert code[counts].tolist() == [1, 1, 2, 0, True]


def year(number, *, current=False, upcoming=False):
    return {
        "SchoolYearID": number - 2000,
        "NumericYear": number,
        "IsCurrentYearForProvidedEntity": current,
        "IsUpcomingYearForProvidedEntity": upcoming,
    }


def years_of(*years):
    return school_years(pa.Table.from_pylist(list(years)))[0]


def test_the_previous_the_current_and_the_upcoming_year_are_read_if_they_exist():
    years = [year(2025), year(2026), year(2027, current=True), year(2028, upcoming=True), year(2029)]
    assert years_of(*years) == [26, 27, 28]
    assert years_of(year(2027, current=True)) == [27]


@pytest.mark.parametrize("years", [[year(2026)], [year(2026, current=True), year(2027, current=True)]])
def test_no_current_year_or_two_is_a_clear_error(years):
    with pytest.raises(QmlativError) as refused:
        years_of(*years)
    assert str(refused.value) == (
        "District/SchoolYear: not exactly one school year is flagged as current; set this entity's "
        "current year in Qmlativ"
    )
