"""Errors of the Qmlativ client, named by meaning.

The message of each is one line that a person can act on: where (object and page), what, and what to do. It
never holds a value from a row, a token, a secret, a URL or a response body. `transient` says whether trying
again later, without anybody doing anything, can help. Nothing else lives here: no retrying, no logging.
"""

from __future__ import annotations

from typing import ClassVar

GRANT = "grant it in the Integration Access in Qmlativ"


class QmlativError(Exception):
    """Reading from Qmlativ failed: `where` (object and page), `what`, and often a `remedy`."""

    transient: ClassVar[bool] = False
    remedy: ClassVar[str] = ""

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__("; ".join(filter(None, [f"{where}: {what}" if where else what, self.remedy])))
        self.what = what
        self.where = where


class InvalidCredentialsError(QmlativError):
    """Client Key, Client Secret or the Integration Access behind them are not accepted."""


class WrongDistrictError(QmlativError):
    """The credentials belong to another district than the one that was asked for."""


class AccessRefusedError(QmlativError):
    """The Integration Access does not allow this."""


class EntityNotGrantedError(AccessRefusedError):
    """The entity is not among the Custom API Entities of the Integration Access."""


class FieldNotGrantedError(AccessRefusedError):
    """A field that was granted when it was described is refused while reading."""


class MissingFieldError(AccessRefusedError):
    """A field that cannot be done without is not granted, or missing from every row."""


class RequestRefusedError(QmlativError):
    """Qmlativ answers with a status that repeating does not change (400, 404, a redirect and the like)."""


class UnsafeUrlError(QmlativError):
    """A URL, or the address that its name leads to, is not one that a district's source may have."""


class CertificateRefusedError(QmlativError):
    """The server's certificate is not valid, not for this host, or expired."""


class MalformedAnswerError(QmlativError):
    """The answer is not what the contract promises."""

    remedy = "run again, and ask Skyward's support if it stays so"


class UnexpectedContentError(MalformedAnswerError):
    """Something other than JSON came with status 200: usually a page that tells of maintenance."""

    transient = True
    remedy = "run again later, and check the API Base URL if it stays so"
    retry_after: float | None = None


class DataChangedError(QmlativError):
    """Rows moved from page to page while they were read, time and again."""

    transient = True
    remedy = "run again"


class NoSchoolYearError(QmlativError):
    """No school year, or more than one, is flagged as current."""


class BlockedByFirewallError(RequestRefusedError):
    """A web page with status 403: something in front of Qmlativ refuses the request, not Qmlativ itself."""


class SourceUnavailableError(QmlativError):
    """Qmlativ cannot be reached, does not answer in time or in full, or says that it is unavailable."""

    transient = True
    remedy = "try again later"
    retry_after: float | None = None


class RateLimitedError(SourceUnavailableError):
    """Qmlativ asks for fewer calls (429)."""


class ReadCancelledError(QmlativError):
    """The call was given up because another one failed, or because the client was closed."""

    transient = True
