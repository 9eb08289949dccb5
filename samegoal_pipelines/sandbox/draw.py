"""Seeded random choices for the generator.

Every part of the generator has a stream of its own, so that a change in one part moves no other.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Rng = np.random.Generator


def stream(seed: int, district: int, part: str) -> Rng:
    """The random numbers of one part of a district."""
    return np.random.default_rng([seed, district, zlib.crc32(part.encode())])


def chance(rng: Rng, count: int, share: float | Array) -> Array:
    """True at about this share of the positions."""
    return rng.random(count) < share


def some(rng: Rng, candidates: Array, share: float, of: int) -> Array:
    """Positions of a few candidates: this share ``of`` a number, but at least one if there is one."""
    places = np.flatnonzero(candidates)
    return np.sort(rng.choice(places, min(len(places), max(1, round(share * of))), replace=False))


def pick(rng: Rng, words: Sequence[Any], count: int) -> Array:
    """A random word at each position."""
    return np.array(words, object)[rng.integers(0, len(words), count)]


def digits(rng: Rng, low: int, high: int, count: int) -> Array:
    """Random whole numbers as text."""
    return rng.integers(low, high, count).astype(str).astype(object)


def padded(numbers: Array, width: int) -> Array:
    """Numbers as text with leading zeros."""
    return np.array([f"{number:0{width}d}" for number in numbers], object)


def only(where: Array, values: Any) -> Array:
    """The values (or one value) at some positions, and None at the others."""
    column = np.array(np.broadcast_to(values, where.shape), object)
    column[~where] = None
    return column
