"""One object, whole: what was asked for, what is missing, and whether the pages make one set of rows."""

import json

import pyarrow as pa
import pytest

from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.errors import (
    GRANT,
    GRANT_ENTITY,
    AccessRefusedError,
    InvalidCredentialsError,
    MalformedAnswerError,
    QmlativError,
)
from samegoal_pipelines.qmlativ.listing import gaps_between, questions
from samegoal_pipelines.tables.enrollments import ENTRY_WITHDRAWAL
from samegoal_pipelines.tables.people import COUNTY, STUDENT, STUDENT_NAME
from samegoal_pipelines_tests.qmlativ.scripted import (
    Reply,
    counties,
    county_path,
    failure,
    pages_of,
    read,
    serving,
)


def county(number, name="x"):
    return {"CountyID": number, "Name": name}


def page(rows, following=None):
    return Reply(body={"Objects": rows, "Paging": {"Next": following}})


def attempts(*reads):
    """Each read of the object sees other pages: a list of lists of rows per attempt."""
    state = {"attempt": -1}

    def reply(number):
        if number == 1:
            state["attempt"] += 1
        pages = reads[min(state["attempt"], len(reads) - 1)]
        return page(pages[number - 1], county_path(number + 1) if number < len(pages) else None)

    return pages_of(reply)


def in_pages(*pages):
    return [[county(number) for number in page] for page in pages]


SHIFTED = [[county(1), county(2), county(3, "old")], [county(3, "new"), county(4)]]
UNSORTED = in_pages([5, 1, 3], [4, 2])


@pytest.mark.parametrize(
    ("reads", "ids", "repeats", "rereads", "gaps_checked"),
    [
        # a row inserted between two pages pushes the last one of a page onto the next
        ([in_pages([1, 2, 3], [3, 4])], [1, 2, 3, 4], 1, 0, True),
        # a key came twice with different content
        ([SHIFTED, in_pages([1, 2, 3], [4])], [1, 2, 3, 4], 0, 1, True),
        # the server does not sort, nor does it keep the order of rows
        ([UNSORTED], [5, 1, 3, 4, 2], 0, 1, False),
        ([UNSORTED, in_pages([1, 5, 4], [2, 3])], [1, 5, 4, 2, 3], 0, 1, False),
        # out of order with a repeat
        ([in_pages([1, 2], [2, 9], [8])], [1, 2, 9, 8], 1, 1, False),
        # repeats among rows without a key, which all stay
        ([in_pages([None, None, 1], [1, 2])], [None, None, 1, 2], 1, 0, True),
        # pages without any key are no circle
        ([in_pages([None], [None], [3])], [None, None, 3], 0, 0, True),
        # a single page, which is one moment
        ([in_pages([2, 1])], [2, 1], 0, 0, True),
    ],
)
def test_pages_are_merged_into_one_set_of_rows(reads, ids, repeats, rereads, gaps_checked):
    (table, account), _ = read(attempts(*reads), connections=1)
    assert table["CountyID"].to_pylist() == ids
    assert (account["Repeats"], account["Rereads"], account["GapsChecked"]) == (
        repeats,
        rereads,
        gaps_checked,
    )


def test_an_enrollment_that_comes_twice_is_left_to_the_rules():
    """Exact repeats collapse and conflicting ones are quarantined in the transform, which counts both."""
    row = {field.name: None for field in ENTRY_WITHDRAWAL.fields} | {"EntryWithdrawalID": 7}
    rows = [row, row, row | {"StudentID": 5}]
    reading, _ = read(pages_of({1: page(rows)}), ENTRY_WITHDRAWAL)
    assert reading.table["EntryWithdrawalID"].to_pylist() == [7, 7, 7]
    assert reading.account["Repeats"] == 2


def test_an_object_of_more_bytes_than_any_district_has_is_given_up():
    padding = {"Padding": "x" * 2**18}
    endless = pages_of(lambda number: counties([number], county_path(number + 1), **padding))
    said, server, _ = failure(endless, MalformedAnswerError, connections=1, max_bytes=2**20)
    assert "the pages so far are larger than 1 MB, more than any district has" in said
    assert len(server.pages) <= 6


WHOLE = in_pages([10, 20, 30], [40, 50])
LOST_40 = in_pages([10, 20, 30], [50])
"""County 10 was deleted once the first page was read; 40 moved up onto that page and was not seen."""
WITHOUT_10 = in_pages([20, 30, 40], [50])


def answering(reply, *reads):
    """Each read sees other pages, and the question for keys between them gets this reply."""
    asked = []
    pages = attempts(*reads)

    def answers(request):
        if request.page and b"LongSearchCondition" in request.body:
            asked.append(request)
            return reply
        return pages(request)

    return answers, asked


def test_keys_between_two_pages_are_asked_for_so_that_no_row_is_lost():
    answers, asked = answering(page([]), WHOLE)
    assert read(answers, connections=1)[0].account["GapsChecked"]
    [request] = asked
    keys = {"FieldName": "CountyID", "ConditionType": "List", "List": [*range(31, 40)]}
    group = {"ConditionGroupType": "And", "Conditions": [{"LongSearchCondition": keys}]}
    assert json.loads(request.body)["SearchCondition"] == {"SearchConditionGroup": group}
    assert request.query == {"searchFields[0]": ["CountyID"]}


@pytest.mark.parametrize(
    "pages",
    [WHOLE, in_pages([10, 30, None], [None, 40]), in_pages([10, 20, 30], [])],
    ids=["readable keys", "keys that are not readable hide no gap", "all rows left the last page"],
)
def test_a_row_found_between_two_pages_is_data_that_changed(pages):
    answers, asked = answering(page([county(35)]), pages)
    assert failure(answers, QmlativError)[0] == "Demographics/County: data changed while it was read"
    assert len(asked) == 3


IGNORES = page(WHOLE[0])
REFUSALS = [IGNORES, Reply(400), Reply(403, b"<html>Request Rejected</html>"), Reply(500), Reply(body=b"[]")]


@pytest.mark.parametrize("reply", REFUSALS)
@pytest.mark.parametrize(
    ("reads", "ids", "rereads"),
    [([WHOLE], [10, 20, 30, 40, 50], 1), ([LOST_40, WITHOUT_10], [20, 30, 40, 50], 2)],
    ids=["quiet", "a row lost between pages comes back"],
)
def test_where_lost_rows_cannot_be_asked_for_two_reads_must_agree(reply, reads, ids, rereads):
    answers, asked = answering(reply, *reads)
    (table, account), _ = read(answers, connections=1)
    assert table["CountyID"].to_pylist() == ids
    assert (account["Rereads"], account["GapsChecked"]) == (rereads, False)
    once = 3 if reply.status == 500 else 1  # a search that was refused is not asked for again
    assert len(asked) == (rereads + 1 if reply is IGNORES else once)


RENAMED = [[county(10), county(20), county(30)], [county(40), county(50, "y")]]


@pytest.mark.parametrize(
    "reads",
    [[SHIFTED], [in_pages([9, 1, 3], [number]) for number in (4, 5, 6)], [WHOLE, RENAMED, LOST_40]],
    ids=["the same key with another content", "rows out of order that differ each time", "never the same"],
)
def test_data_that_changes_on_every_attempt_ends_in_a_clear_line(reads):
    said, server, error = failure(answering(Reply(400), *reads)[0], QmlativError)
    assert said == "Demographics/County: data changed while it was read"
    assert error.transient
    first_pages = [asked.body for asked in server.requests if asked.page == 1]
    assert len([body for body in first_pages if b"LongSearchCondition" not in body]) == 3


def test_wide_gaps_are_asked_for_by_their_ends_and_no_gap_not_at_all():
    assert questions([range(2, 3), range(11, 1000), range(2001, 2003)], "ID") == [
        [{"FieldName": "ID", "ConditionType": "List", "List": [2, 2001, 2002]}],
        [
            {"FieldName": "ID", "ConditionType": "GreaterEqual", "Value": 11},
            {"FieldName": "ID", "ConditionType": "Less", "Value": 1000},
        ],
    ]
    dense = [pa.table({"ID": [1, 2]}), pa.table({"ID": pa.array([], pa.int64())}), pa.table({"ID": [3, 4]})]
    assert gaps_between(dense, "ID") == []
    assert gaps_between(dense[:2], "ID") == [range(3, 2**63 - 1)]
    assert gaps_between(dense[1:2], "ID") == []


def test_rows_without_a_readable_key_are_kept():
    rows = [county(None), county(1), county("2"), county(3)]
    reading, _ = read(pages_of({1: page(rows)}), page_size=10)
    assert reading.table["CountyID"].to_pylist() == [None, 1, None, 3]
    assert reading.table["Unreadable"].to_pylist() == [None, None, '{"CountyID": "2"}', None]
    assert reading.account["Unreadable"] == 1


@pytest.mark.parametrize(
    ("wanted", "missing"), [(COUNTY, "Name"), (STUDENT_NAME, "LastName"), (STUDENT_NAME, "IsStudentName")]
)
def test_a_required_field_that_is_not_granted_is_an_error_before_any_row_is_read(wanted, missing):
    """Also the field of the condition."""
    names = {field.name: {} for field in wanted.fields} | {wanted.only: {}}
    names.pop(missing)
    grants = lambda request: Reply(body=names) if request.path.endswith(wanted.path) else None  # noqa: E731
    said, server, _ = failure(grants, AccessRefusedError, lambda client: client.read(wanted))
    assert said == f"{wanted.path}: the field {missing} is not granted; {GRANT}"
    assert server.pages == []


def test_an_optional_field_that_is_not_granted_is_null_not_asked_for_and_reported():
    names = {field.name: {} for field in STUDENT.fields if not field.optional}

    def answers(request):
        if request.path.endswith("/Student/Student"):
            return Reply(body=names)
        if request.page:
            return page([dict.fromkeys(names, None) | {"StudentID": 1, "NameID": 2}])
        return None

    with serving(answers) as server, QmlativClient(server.connection()) as client:
        table, account = client.read(STUDENT, school_year_id=27)
    assert account["Missing"] == ["LanguageIDNative", "LanguageIDPrimary"]
    assert table.column_names == list(STUDENT.table.arrow_types)
    assert table["LanguageIDNative"].to_pylist() == [None]
    assert table["SchoolYearIDAsked"].to_pylist() == [27]
    asked = next(request for request in server.requests if request.page).query
    assert "LanguageIDPrimary" not in str(asked)
    assert asked["SchoolYearID"] == ["27"]
    assert account["SchoolYearIDs"] == [27]
    assert account["Path"] == "/Custom/1/Student/Student"
    assert account["Arrived"] == {"Student/Student?SchoolYearID=27": 1}


@pytest.mark.parametrize("following", [None, county_path(2)], ids=["one page", "an empty page at the end"])
def test_a_required_field_that_no_row_has_is_an_error(following):
    said, *_ = failure(pages_of({1: page([{"CountyID": 1}, {"CountyID": 2}], following)}), AccessRefusedError)
    assert said == f"Demographics/County: the field Name is missing from every row; {GRANT}"


def test_an_optional_field_that_no_row_has_is_reported():
    names = [field.name for field in STUDENT.fields if field.name != "LanguageIDNative"]
    reading, _ = read(pages_of({1: page([dict.fromkeys(names, None)])}), STUDENT)
    assert reading.account["Missing"] == ["LanguageIDNative"]


def refusing(what):
    return Reply(403, {"Message": f"{what} is not available to this integration"})


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (refusing("Field Name of Demographics/County"), f"the field Name is not granted; {GRANT}"),
        (
            refusing("Field secret of Demographics/County"),
            f"not available to this Integration Access (HTTP 403); {GRANT}",
        ),
        (refusing("Entity 1"), f"the district's entity is not granted; {GRANT_ENTITY}"),
        (
            Reply(401, {"Message": "secret"}),
            f"Qmlativ refuses the token (HTTP 401); {InvalidCredentialsError.next_step}",
        ),
    ],
)
def test_a_grant_withdrawn_in_mid_read_says_which(reply, says):
    kind = InvalidCredentialsError if reply.status == 401 else AccessRefusedError
    said, server, _ = failure(pages_of({1: counties([1, 2, 3], county_path(2)), 2: reply}), kind)
    assert said == f"Demographics/County, page 2: {says}"
    assert server.pages == ([1, 2, 2] if reply.status == 401 else [1, 2])  # once more with a new token


def test_a_description_that_is_none_is_malformed():
    said, *_ = failure(lambda r: Reply(body=[1]) if r.path.endswith("County") else None, MalformedAnswerError)
    assert said.startswith("Demographics/County, description: the answer describes no object")


def test_the_condition_and_the_order_are_sent_as_qmlativ_wants_them():
    _, server = read(pages_of({}), STUDENT_NAME, entity_id=42)
    [asked] = [request for request in server.requests if request.page]
    assert asked.method == "POST"
    assert asked.path == "/Tenant/Custom/42/Demographics/Name/1/3"
    assert asked.headers["content-type"] == "application/json"
    flag = {"FieldName": "IsStudentName", "ConditionType": "Equal", "Value": "true"}
    group = {"ConditionGroupType": "And", "Conditions": [{"StringSearchCondition": flag}]}
    assert json.loads(asked.body) == {
        "SearchSort": [{"FieldName": "NameID", "Descending": False}],
        "SearchCondition": {"SearchConditionGroup": group},
    }
    fields = [field.name for field in STUDENT_NAME.fields]
    assert asked.query == {f"searchFields[{number}]": [name] for number, name in enumerate(fields)}
