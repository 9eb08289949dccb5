"""Taking rows out of columns: a row that a lookup did not find is null, whatever the column holds."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from samegoal_pipelines.transforms.columns import NOWHERE, take, take_codes, take_text

ROWS = np.array([2, NOWHERE, 0])
DAY, LEAP_DAY = date(2026, 8, 12), date(2028, 2, 29)


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        (pa.array([1, 2, 3]), [3, None, 1]),
        (pa.array([1, 2, None]), [None, None, 1]),
        (pa.array([DAY, DAY, LEAP_DAY]), [LEAP_DAY, None, DAY]),
        (pa.array(["a", "b", "c"]), ["c", None, "a"]),
        (pa.array([True, False, False]), [False, None, True]),
    ],
    ids=["integers", "integers and a null", "dates", "texts", "flags"],
)
def test_a_row_that_is_nowhere_is_null_and_not_the_last_one(values, taken):
    found = take(values, ROWS)
    assert found.to_pylist() == taken
    assert found.type == values.type
    assert take(values, ROWS[[0, 2]]).to_pylist() == [values[2].as_py(), values[0].as_py()]


@pytest.mark.parametrize("texts", [["a", "b", "c"], ["a", None, None], []])
def test_texts_as_codes_are_those_taken_as_strings(texts):
    column = pa.array(texts, pa.string())
    rows = ROWS if texts else np.array([NOWHERE] * 3)
    codes = take_codes(column, rows)
    assert codes.to_pylist() == take(column, rows).to_pylist()
    assert codes.to_pylist()[1] is None
    again = take_text(codes, np.array([0, NOWHERE, 1]))
    assert again.type == pa.string()
    assert again.to_pylist() == [codes[0].as_py(), None, None]
