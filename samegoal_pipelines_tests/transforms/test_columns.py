"""Arrays of columns: taking rows out, choosing the best row of a group, and finding rows by id."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from samegoal_pipelines.transforms.columns import (
    MISSING,
    NO_DAY,
    NOWHERE,
    best_rows,
    days,
    flags,
    group_codes,
    ids,
    plain,
    real_dates,
    take,
)

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
        (pa.array(["a", None, "b"]).dictionary_encode(), ["b", None, "a"]),
    ],
    ids=["integers", "integers and a null", "dates", "texts", "flags", "a dictionary"],
)
def test_a_row_that_is_nowhere_is_null_and_not_the_last_one(values, taken):
    found = take(values, ROWS)
    assert found.to_pylist() == taken
    assert found.type == values.type
    assert plain(found).to_pylist() == taken
    assert take(values, ROWS[[0, 2]]).to_pylist() == [values[2].as_py(), values[0].as_py()]


@pytest.mark.parametrize("skipped", [0, 1])
def test_nulls_become_what_stands_for_them_also_in_a_slice(skipped):
    day = (DAY - date(1970, 1, 1)).days
    assert ids(pa.array([1, None, 2**63 - 1])[skipped:]).tolist() == [1, MISSING, 2**63 - 1][skipped:]
    assert days(pa.array([DAY, None, DAY])[skipped:]).tolist() == [day, NO_DAY, day][skipped:]
    assert flags(pa.array([True, None, True])[skipped:]).tolist() == [True, False, True][skipped:]
    dated = pa.array([DAY, None, date.max])[skipped:]
    assert real_dates(dated).to_pylist() == [DAY, None, None][skipped:]


@pytest.mark.parametrize("spread", [1, 2**20, 2**55, 2**62])
def test_the_best_row_of_a_group_is_the_greatest_by_the_fields_in_order_whatever_their_ranges(spread):
    random = np.random.default_rng(spread % 7)
    groups = random.integers(0, 20, 200)
    fields = [random.integers(-1, 2, 200) * spread for _ in range(3)] + [random.permutation(200)]
    chosen = best_rows(groups, 21, fields)
    for group in range(20):
        rows = [(*(field[row] for field in fields), row) for row in np.flatnonzero(groups == group)]
        assert chosen[group] == max(rows)[-1]
    assert chosen[20] == -1


@pytest.mark.parametrize("keys", [[3, 1, 2, 3], [2**60, 1, 2**60, 5], [2**63 - 1, 2**63 - 2], []])
def test_group_codes_stand_for_their_keys(keys):
    codes, found = group_codes(np.array(keys, np.int64))
    assert found[codes].tolist() == keys
