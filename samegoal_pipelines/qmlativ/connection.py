"""The settings to talk to one district's Qmlativ: address, credentials and limits."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

from samegoal_pipelines.qmlativ.addresses import checked_url
from samegoal_pipelines.qmlativ.errors import InvalidCredentialsError


@dataclass(frozen=True)
class RetryPolicy:
    """Deadlines of one request and limits of its retries, in seconds.

    `total` limits one request as a whole. `longest_wait` limits each pause between attempts, whether it
    doubles from `backoff` or a Retry-After header asks for it.
    """

    connect: float = 10
    read: float = 90
    total: float = 300
    attempts: int = 5
    backoff: float = 0.5
    longest_wait: float = 60


@dataclass(frozen=True)
class Connection:
    """One district's access. Raises `UnsafeUrlError` or `InvalidCredentialsError` if it cannot be used.

    `base_url` ends before `/Custom`. `entity_id` is the entity to read as, by default the district's own.
    `connections` limits concurrent requests. `max_pages` and `max_bytes` limit the pages and the decoded JSON
    bytes of one object.
    """

    base_url: str
    client_key: str
    client_secret: SecretStr
    token_url: str | None = None
    entity_id: int | None = None
    allow_local: bool = False
    connections: int = 8
    page_size: int = 10_000
    max_pages: int = 2_000
    max_bytes: int = 2**30
    retry_policy: RetryPolicy = RetryPolicy()

    def __post_init__(self) -> None:
        local = self.allow_local
        object.__setattr__(self, "base_url", checked_url(self.base_url, allow_local=local))
        if self.token_url is not None:
            object.__setattr__(self, "token_url", checked_url(self.token_url, "Token URL", allow_local=local))
        if not self.client_key.strip() or not self.client_secret.get_secret_value().strip():
            raise InvalidCredentialsError(
                "the Client Key or the Client Secret is missing",
                next_step="register them again: samegoal-pipelines districts rotate-secret ID",
            )
        if self.connections < 1 or not 1 <= self.page_size <= 10_000:
            raise ValueError("connections must be at least 1 and page_size between 1 and 10,000")

    @property
    def token_address(self) -> str:
        """The URL of the token endpoint."""
        return self.token_url or f"{self.base_url}/oauth/token"
