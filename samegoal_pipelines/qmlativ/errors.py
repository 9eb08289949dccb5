"""Errors of the Qmlativ client, by meaning. `object` is the Qmlativ object and page.

No message contains a value from a row, a token, a secret, a URL or a response body.
"""

from samegoal_pipelines.errors import Kind, PipelineError

GRANT = "grant it in the Integration Access in Qmlativ"
GRANT_ENTITY = "add it to the Custom API Entities of the Integration Access"
CHECK_ADDRESS = "check the API Base URL; to correct it: samegoal-pipelines districts set ID --base-url …"
ASK_FOR_ACCESS = (
    "ask the district, or Skyward if it hosts Qmlativ, to let this machine's address through the firewall"
)
ASK_SKYWARD = "run again, and ask Skyward's support if it happens again"
CHECK_TOKEN_URL = f"{CHECK_ADDRESS}, or --token-url … where tokens come from elsewhere"


class QmlativError(PipelineError):
    """Reading from Qmlativ failed."""

    kind = Kind.SOURCE


class InvalidCredentialsError(QmlativError):
    """Qmlativ does not accept the Client Key, the Client Secret or the Integration Access behind them."""

    kind = Kind.CREDENTIALS
    next_step = (
        "check the Client Key, the Client Secret and the expiration date of the Integration Access in "
        "Qmlativ; to register a new secret from SameGoal's technical team: "
        "samegoal-pipelines districts rotate-secret ID"
    )


class AccessRefusedError(QmlativError):
    """The Integration Access does not allow this, or a required field is in no row."""

    kind = Kind.GRANTS
    next_step = GRANT


class RequestRefusedError(QmlativError):
    """Qmlativ answers with a status that a retry does not change (400, 404, a redirect and the like)."""

    kind = Kind.ANSWER
    next_step = ASK_SKYWARD


class UnsafeUrlError(QmlativError):
    """A source may not have this URL, or the address that its name resolves to."""

    kind = Kind.ADDRESS
    next_step = CHECK_ADDRESS


class MalformedAnswerError(QmlativError):
    """The answer breaks the contract of the Custom API."""

    kind = Kind.ANSWER
    next_step = ASK_SKYWARD


class SourceUnavailableError(QmlativError):
    """Qmlativ cannot be reached, does not answer completely and in time, or says that it is unavailable."""

    transient = True
    next_step = "try again later"
    retry_after: float | None = None


class RateLimitedError(SourceUnavailableError):
    """Qmlativ asks for fewer calls (429)."""


class ReadCancelledError(QmlativError):
    """The call was cancelled because another one failed or the client was closed."""

    transient = True
    next_step = "try again later"

    def __init__(self, where: str = "") -> None:
        super().__init__("given up, because something else failed", where)
