"""Row hashes: equal rows hash equally everywhere and for ever, other rows otherwise."""

from datetime import date

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from samegoal_pipelines.warehouse.rows import row_hashes

texts = st.none() | st.text(max_size=40)
rows = st.tuples(st.integers(-(2**63), 2**63 - 1) | st.none(), texts, texts, st.none() | st.booleans())


def arrow(found: list[tuple]) -> pa.Table:
    types = [pa.int64(), pa.string(), pa.string(), pa.bool_()]
    columns = zip(*found, strict=True)
    return pa.table([pa.array(c, kind) for c, kind in zip(columns, types, strict=True)], names=list("abcd"))


def hashes(found: list[tuple]) -> list[int]:
    return row_hashes(arrow(found)).tolist()


def test_hashes_are_what_they_were_when_they_were_first_stored():
    """Another result costs a comparison of every row of every district: never by accident."""
    table = pa.table(
        {
            "number": pa.array([0, 2**53 + 1, None], pa.int64()),
            "text": pa.array(["", "Zoë Ångström-O'Neil", None]),
            "day": pa.array([date(1970, 1, 1), date(2026, 2, 28), None]),
            "flag": pa.array([False, True, None]),
        }
    )
    assert row_hashes(table).tolist() == [2914682836193334040, 843616053539011991, 4069871048635130309]


@given(st.lists(rows, min_size=1, max_size=20))
@example([(1, "ab", "", None), (1, "a", "b", None), (1, "", "ab", None), (1, "ab", None, None)])
def test_rows_hash_equally_exactly_when_they_are_equal(found):
    result = hashes(found)
    assert len(set(result)) == len(set(map(repr, found)))
    assert [hashes([row])[0] for row in found] == result  # whatever rows stand beside them


@given(st.lists(rows, min_size=2, max_size=20), st.data())
def test_chunks_and_slices_make_no_difference(found, data):
    cut = data.draw(st.integers(1, len(found) - 1))
    whole = arrow(found)
    chunked = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    assert np.array_equal(row_hashes(chunked), row_hashes(whole))
    assert np.array_equal(row_hashes(whole.slice(cut)), row_hashes(whole)[cut:])


def test_a_very_long_text_changes_no_other_rows_hash():
    """Texts are padded to the longest one's length; rows beside a long one are looked at apart from it."""
    short = [(n, "x" * (n % 30), "Zoë", None) for n in range(1_000)]
    beside_a_long_one = [*short, (1, "y" * 100_000, "", None)]
    assert hashes(beside_a_long_one)[:-1] == hashes(short)
    assert hashes(beside_a_long_one)[-1] == hashes([beside_a_long_one[-1]])[0]
