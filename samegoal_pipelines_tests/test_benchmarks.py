"""The benchmarks name functions of the product, which may move."""

import pkgutil

import pytest

PARTS: dict[str, list[str]] = pkgutil.resolve_name("benchmarks.district:PARTS")  # mypy leaves benchmarks out


@pytest.mark.parametrize("place", [place for places in PARTS.values() for place in places])
def test_a_part_of_a_night_that_the_benchmark_times_exists(place: str) -> None:
    assert callable(pkgutil.resolve_name(place))
