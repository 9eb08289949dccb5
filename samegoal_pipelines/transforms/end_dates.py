"""Whether EndDate is the last day enrolled, as the rules assume, judged by its distance to WithdrawalDate.

Which day counts as the last one is decided in `enrollments`.

EndDate is the last day enrolled, and a student is not in membership on the withdrawal date, so WithdrawalDate
is one day after EndDate. If both are the same day, one of them means something else in this district.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from samegoal_pipelines.transforms.columns import NO_DAY, columns_of, days, real_dates

INCLUSIVE, SAME_DAY = 1, 0
ROWS_THAT_TELL = 20
SHARE_THAT_CONTRADICTS = 0.6
LISTED = 10


class EndDates(NamedTuple):
    """The rows with both dates.

    `differences` maps the days from EndDate to WithdrawalDate to a number of rows, the most common first, at
    most `LISTED`. `rows` is the total.
    """

    rows: int
    differences: dict[int, int]

    def share(self, difference: int) -> float:
        """The share of rows with this difference."""
        return self.differences.get(difference, 0) / self.rows if self.rows else 0.0

    @property
    def contradicts_inclusive_reading(self) -> bool:
        """Whether there are enough rows, and in most of them both dates are the same day."""
        return self.rows >= ROWS_THAT_TELL and self.share(SAME_DAY) >= SHARE_THAT_CONTRADICTS


def observe_end_dates(raw: Mapping[str, pd.DataFrame]) -> EndDates:
    """Compare the two dates in the EntryWithdrawal rows of `raw_enrollments` that have both."""
    dates = columns_of(raw["EntryWithdrawal"][["EndDate", "WithdrawalDate"]])
    end, withdrawal = (days(real_dates(dates[field])) for field in ("EndDate", "WithdrawalDate"))
    both = (end != NO_DAY) & (withdrawal != NO_DAY)
    found, rows = np.unique(withdrawal[both].astype(np.int64) - end[both], return_counts=True)
    order = np.lexsort((np.abs(found - INCLUSIVE), -rows))[:LISTED]
    differences = dict(zip(found[order].tolist(), rows[order].tolist(), strict=True))
    return EndDates(int(both.sum()), differences)
