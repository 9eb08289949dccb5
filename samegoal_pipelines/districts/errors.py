"""What can be wrong with a district's registration; each message names the district and what to do."""


class DistrictError(Exception):
    """A district's registration is missing, wrong or cannot be used."""

    transient = False


class UnknownDistrict(DistrictError):
    """No district is registered under this id."""


class LostKey(DistrictError):
    """A client secret was sealed with a key that is not among the present ones."""
