"""What can be wrong with a district's registration or its stored secret, by meaning."""

from samegoal_pipelines.errors import Kind, PipelineError


class DistrictError(PipelineError):
    """The registration cannot be used, or is refused."""

    kind = Kind.REGISTRATION


class UnknownDistrictError(DistrictError):
    """No district of this id is registered."""

    next_step = "see samegoal-pipelines districts list"
    rerun = False


class SecretAwaitedError(DistrictError):
    """No Client Secret was set yet. Nothing has failed."""

    kind = Kind.CREDENTIALS
    next_step = (
        "once SameGoal's technical team has generated the secret: samegoal-pipelines districts set-secret ID"
    )
    rerun = False

    def __init__(self, *, district_id: str) -> None:
        super().__init__("awaiting secret", district_id=district_id)


class DecryptionError(DistrictError):
    """A secret cannot be decrypted, because the keys themselves cannot be used."""

    kind = Kind.SECRET_KEY


class LostKeyError(DecryptionError):
    """The keys can be used, but none of them decrypts the secret."""
