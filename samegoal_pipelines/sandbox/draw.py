"""Seeded randomness and small column tools for the generator.

Every stream is named, so that a change in one part of the generator does not move the numbers of another,
and nothing depends on hash seeds. No people here.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Ints = np.ndarray
Mask = np.ndarray


def generator(seed: int, *labels: str | int) -> np.random.Generator:
    """The stream of random numbers with this name."""
    return np.random.default_rng([seed, *(zlib.crc32(str(label).encode()) for label in labels)])


def chance(rng: np.random.Generator, count: int, share: float | np.ndarray) -> Mask:
    """True for about this share of positions."""
    return rng.random(count) < share


def some(rng: np.random.Generator, candidates: Ints, share: float, of: int) -> Ints:
    """A few of the candidates: this share of ``of``, but at least one wherever there is one. Sorted."""
    wanted = min(len(candidates), max(1, round(share * of)))
    return np.sort(rng.choice(candidates, wanted, replace=False))


def words(choices: Sequence[str], index: Ints, missing: Mask | None = None) -> pa.Array:
    """A word per position; null where missing."""
    return pa.array(choices, pa.string()).take(pa.array(index, pa.int64(), mask=missing))


def pick(rng: np.random.Generator, choices: Sequence[str], count: int) -> pa.Array:
    """Any of the words, for each position."""
    return words(choices, rng.integers(0, len(choices), count))


def where(mask: Mask, yes: Any, no: Any) -> pa.Array:
    """Text from one column or the other (or a constant, or None)."""
    texts = [
        pa.scalar(value, pa.string()) if value is None or isinstance(value, str) else value
        for value in (yes, no)
    ]
    return pc.if_else(pa.array(mask), *texts)


def joined(*parts: Any, separator: str = "") -> pa.Array:
    """Text put together per position; constants are repeated."""
    return pc.binary_join_element_wise(*parts, separator)


def nullable(values: Ints, missing: Mask, type_: Any = None) -> pa.Array:
    """Numbers with nulls where missing."""
    return pa.array(values, type_ or pa.int64(), mask=missing)


def days(values: Ints, missing: Mask | None = None) -> pa.Array:
    """Days since 1970 as dates."""
    return pa.array(values.astype(np.int32), pa.int32(), mask=missing).cast(pa.date32())
