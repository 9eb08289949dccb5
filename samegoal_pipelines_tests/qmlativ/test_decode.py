"""Pages into columns: types by declaration, never by inference; what is not JSON is refused, what is odd is
kept.
"""

import datetime as dt
import json
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samegoal_pipelines.qmlativ.decode import MAX_TEXT, PageDecoder, is_cut
from samegoal_pipelines.qmlativ.errors import MalformedAnswerError
from samegoal_pipelines.tables import declaration
from samegoal_pipelines.tables.catalog import OBJECTS
from samegoal_pipelines.tables.declaration import day, flag, integer, text

UNREADABLE = declaration.UNREADABLE.name
FIELDS = (integer("ID", ""), text("Code", ""), day("Start", ""), flag("Home", ""))
WHERE = "Module/Object, page 1"
NOT_JSON = f"{WHERE}: the answer is not valid JSON; run again, and ask Skyward's support if it happens again"


def page(*rows, **more):
    return json.dumps({"Objects": list(rows), "Paging": {"Next": None}, **more}).encode()


def decoded(body):
    return PageDecoder(FIELDS).decode(body, WHERE)


def rows_of(body):
    return decoded(body).table.to_pylist()


def raw(value, field):
    """A page of one row whose field is written exactly so."""
    return f'{{"Objects": [{{"{field}": {value}}}], "Paging": {{"Next": null}}}}'.encode()


def column(value, field):
    """The field's value, and what `Unreadable` says of it."""
    [row] = rows_of(raw(value, field))
    unreadable = row[UNREADABLE] and json.loads(row[UNREADABLE])
    return row[field], unreadable and unreadable[field]


def test_a_plain_page_becomes_columns_of_the_declared_types():
    body = page(
        {"ID": 1, "Code": "01", "Start": "2026-08-12T00:00:00", "Home": True, "Other": [1, {"a": 2}]},
        {"ID": 2, "Code": None, "Start": None, "Home": None},
    )
    result = decoded(body)
    assert result.table.schema == pa.schema(
        [(f.name, f.arrow_type) for f in FIELDS] + [(UNREADABLE, pa.string())]
    )
    assert result.table.to_pylist() == [
        {"ID": 1, "Code": "01", "Start": dt.date(2026, 8, 12), "Home": True, UNREADABLE: None},
        {"ID": 2, "Code": None, "Start": None, "Home": None, UNREADABLE: None},
    ]
    assert result.next is None


@pytest.mark.parametrize("number", [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)])
def test_ids_are_exact(number):
    assert column(number, "ID") == (number, None)


@pytest.mark.parametrize(
    "text",
    [
        *("01", "00123", "9007199254740993", "None", "NULL", "NaN", "=cmd()", "2026-08-12T00:00:00", ""),
        *(" a ", "José O'Brien", "😀", "\u202eabc", "x" * MAX_TEXT, "é" * MAX_TEXT, "a\x00b", "a\nb\t\\\"/'"),
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_texts_stay_as_they_came(text, ascii_only):
    assert column(json.dumps(text, ensure_ascii=ascii_only), "Code") == (text, None)


@pytest.mark.parametrize("quick", [True, False])
def test_a_text_that_is_too_long_is_unreadable_and_only_its_length_is_kept(quick):
    odd = {} if quick else {"ID": "x"}
    first, second = rows_of(page({"ID": 1, "Code": "é" * 5_000} | odd, {"ID": 2, "Code": "01"}))
    assert first["Code"] is None
    assert json.loads(first[UNREADABLE]) == {"Code": "5,000 characters"} | odd
    assert (second["Code"], second[UNREADABLE]) == ("01", None)


@pytest.mark.parametrize("field", ["ID", "Start", "Home"])
@pytest.mark.parametrize("value", ["x" * 5_000, ["x" * 4_996]])
def test_of_a_wrong_value_that_is_too_long_only_the_length_is_kept(field, value):
    assert column(json.dumps(value), field) == (None, "5,000 characters")


@pytest.mark.parametrize(("depth", "fits"), [(64, True), (65, False)])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_json_may_be_nested_64_deep(depth, fits, opening, closing):
    inside = depth - 3  # the document, Objects and the row
    value = opening * inside + "1" + closing * inside
    if fits:
        assert column(value, "ID") == (None, json.loads(value))
    else:
        with pytest.raises(MalformedAnswerError, match="not valid JSON"):
            rows_of(raw(value, "ID"))


@pytest.mark.parametrize(
    ("body", "cut"),
    [
        (b'{"a": [{"b": 1}]}', False),
        (b'{"a": [{"b": 1}', True),
        (b'{"a": [{"b": 1}]', True),
        (b'{"a": "[[{{"}', False),
        (b'{"a": "]]", "b": [{"c": "}"}', True),
        (b'{"a": 1}}', False),
        (b"[" * 1000 + b"]", False),
        (b'{"Objects": [' + b'{"a": 1}, ' * 9_999 + b'{"a": 1}], "Paging": {"Next": ""}\n}\n', False),
        (b'{"Objects": [' + b'{"a": 1}, ' * 9_999 + b'{"a": 1}', True),
    ],
)
def test_a_document_is_cut_where_a_bracket_outside_of_texts_stays_open(body, cut):
    assert is_cut(body) == cut


@pytest.mark.parametrize(
    ("field", "written", "came"),
    [
        *(("ID", "1.0", 1.0), ("ID", "1e3", 1000.0), ("ID", '"1"', "1"), ("ID", "true", True)),
        *(("ID", "[1]", [1]), ("ID", '{"a": 1}', {"a": 1}), ("ID", str(2**63), 2**63)),
        ("ID", "1e400", "1e400"),
        *(("Code", "1", 1), ("Code", "1.5", 1.5), ("Code", "false", False), ("Code", "[]", [])),
        *(("Home", "1", 1), ("Home", '"true"', "true"), ("Home", "0", 0)),
        ("Start", "20260812", 20260812),
    ],
)
def test_a_value_of_another_type_is_null_and_kept_as_it_came(field, written, came):
    value, unreadable = column(written, field)
    assert value is None
    assert (type(unreadable), unreadable) == (type(came), came)


def test_half_of_a_surrogate_pair_is_unreadable():
    assert column('"\\ud83d"', "Code") == (None, "\ud83d")
    assert column('"\\ud83d"', "Start") == (None, "\ud83d")
    assert column('"\\ud83d\\ude00"', "Code") == ("😀", None)


@pytest.mark.parametrize(
    "written",
    [
        *("2026-08-12T00:00:00", "2026-08-12", "2026-08-12T00:00:00Z", "2026-08-12T00:00:00.000"),
        *("2026-08-12T00:00:00.0000000-05:00", "2026-08-12T18:00:00-06:00", "2026-08-12T05:00:00+05:00"),
        *("2026-08-12T23:59:59Z", "2026-08-12T18:00-06", "2026-08-12 00:00", "2024-02-29T00:00:00"),
        *("0001-01-01T00:00:00", "9999-12-31T00:00:00"),
    ],
)
def test_a_date_is_the_calendar_day_as_it_is_written(written):
    """Arrow would move 18:00-06:00 to the next day, at midnight, where nothing shows it any more."""
    assert column(json.dumps(written), "Start") == (dt.date.fromisoformat(written[:10]), None)


@pytest.mark.parametrize(
    "written",
    [
        *("2026-02-31T00:00:00", "2025-02-29T00:00:00", "0000-01-01T00:00:00", "10000-01-01T00:00:00"),
        *("20260812", "08/12/2026", "2026-08-12T25:00:00", "2026-08-123T00:00:00", "x2026-08-12T00:00:00"),
        *("２０２６-08-12", "T00:00:00", ""),
        *("2026-08-12T00:00:00\0", "2026-08-12T00:00:00.0000000xZ"),
    ],
)
def test_what_is_no_date_is_null_and_kept_as_it_came(written):
    assert column(json.dumps(written), "Start") == (None, written)


def test_only_the_odd_rows_are_marked_and_each_with_all_its_odd_values():
    good = {"ID": 1, "Code": "a", "Start": "2026-08-12T00:00:00", "Home": True}
    rows = rows_of(page(good, {"ID": "x", "Code": 5, "Start": "soon", "Home": False}, good))
    assert [row[UNREADABLE] and json.loads(row[UNREADABLE]) for row in rows] == [
        None,
        {"ID": "x", "Code": 5, "Start": "soon"},
        None,
    ]
    assert rows[1] == {**rows[1], "ID": None, "Code": None, "Start": None, "Home": False}


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"x", b'{"Objects": ['),
        *(
            b'{"Objects": [], "Paging": {}} ' + rest
            for rest in (b"x", b"null", b'{"Objects": [], "Paging": {}}')
        ),
        *(b'{"Objects": [], "Paging": {}, ' + again for again in (b'"Objects": []}', b'"Paging": {}}')),
        *(
            b'{"Objects": [{"ID": %s}], "Paging": {}}' % value
            for value in (
                *(b"NaN", b"Infinity", b"01", b"1,", b'1, "ID": 1', b"9" * 5000),
                *(b"[" * 1000 + b"]" * 1000, b'{"a":' * 1000 + b"1" + b"}" * 1000),
            )
        ),
        *(
            b'{"Objects": [{"%s": "%s"}], "Paging": {}}' % field
            for field in (
                *((b"Code", b"\xff"), (b"Other", b"\xff"), (b"Code", b"\xed\xa0\x80")),
                *((b"Code", b"a\nb"), (b"Code", b"a\x00b")),
            )
        ),
    ],
)
def test_what_is_not_json_by_the_letter_is_refused(body):
    with pytest.raises(MalformedAnswerError) as refused:
        decoded(body)
    assert str(refused.value) == NOT_JSON


@pytest.mark.parametrize(
    "body",
    [
        *(b"{}", b"[]", b"null", b"5", b'{"Message": "An error has occurred."}'),
        *(
            b'{"Objects": %s, "Paging": {"Next": null}}' % objects
            for objects in (b"null", b"{}", b'"none"', b'[null, {"ID": 1}]', b"[1]", b'[[{"ID": 1}]]')
        ),
    ],
)
def test_an_answer_without_a_list_of_objects_is_malformed(body):
    with pytest.raises(
        MalformedAnswerError, match=r"page 1: the answer has no list of objects in Objects; run again"
    ):
        decoded(body)


def test_brackets_in_texts_and_a_byte_order_mark_do_no_harm():
    row = {"ID": "x", "Code": "[" * 100 + '"{' * 100}
    assert rows_of(b"\xef\xbb\xbf" + page(row))[0]["Code"] == row["Code"]


def test_a_page_tells_which_fields_no_row_has():
    assert decoded(page({"ID": 1, "Code": None}, {"ID": 2})).absent == {"Start", "Home"}
    assert decoded(page()).absent == frozenset()


of_its_type = {
    "ID": st.none() | st.integers(-(2**63), 2**63 - 1),
    "Code": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    "Start": st.sampled_from([None, "2026-08-12T00:00:00", "2026-08-12"]),
    "Home": st.none() | st.booleans(),
}
plain_rows = st.lists(
    st.fixed_dictionaries({}, optional=of_its_type | {"Other": st.sampled_from([1, "x", None, [1], {}])}),
    max_size=4,
)
any_value = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(
        ["2026-08-12T00:00:00", "2026-08-12", "2026-02-31T00:00:00", "2026-08-12T18:00:00-06:00"]
    )
)

odd_rows = st.lists(st.dictionaries(st.sampled_from(["ID", "Code", "Start", "Home", "Other"]), any_value))


def test_the_quick_way_and_the_strict_way_agree():
    ways = Counter()

    @settings(max_examples=300, deadline=None)
    @given(plain_rows, odd_rows | st.just([]), st.sampled_from([None, "/Custom/1/Module/Object/2/10000"]))
    def decode(plain, odd, following):
        body = page(*plain, *odd, Paging={"Next": following})
        decoder = PageDecoder(FIELDS)
        ways[("quick" if decoder._quick(body) else "strict") if plain or odd else "empty"] += 1
        usual = decoder.decode(body, WHERE)
        decoder._quick = lambda _: None
        strict = decoder.decode(body, WHERE)
        assert usual.table.equals(strict.table)
        assert (usual.next, usual.absent) == (strict.next, strict.absent) == (following, usual.absent)

    decode()
    assert ways["quick"] >= 100
    assert ways["strict"] >= 50


def test_the_quick_way_takes_plain_pages():
    """A page that came the slow way would be right, and cost a district minutes a night."""
    row = {"ID": 1, "Code": "é", "Start": "2026-08-12", "Home": True, "Other": {"a": [1]}}
    decoder = PageDecoder(FIELDS)
    decoder._strict = None
    assert decoder.decode(page(row), WHERE).table.num_rows == 1


def test_the_catalogue_lists_no_field_twice_and_no_social_security_number():
    for entry in OBJECTS.values():
        names = [field.name for field in entry.fields]
        assert len(set(names)) == len(names)
        assert not any("SSN" in name or "SocialSecurity" in name for name in names)
