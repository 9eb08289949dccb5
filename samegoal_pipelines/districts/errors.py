"""Errors about a district's registration. Each message is one line that starts with the district."""

from __future__ import annotations


class DistrictError(Exception):
    """A registration that cannot be used, or a change of it that is refused."""

    transient = False


class UnknownDistrictError(DistrictError):
    """No district of this id is registered."""


class InvalidDistrictError(DistrictError):
    """Something about a registration is not acceptable; the message says what, and what would be."""


class DuplicateDistrictError(DistrictError):
    """Another registered district has this id, address or identity."""


class DecryptionError(DistrictError):
    """A secret cannot be opened with the keys at hand, or the keys themselves cannot be used."""
