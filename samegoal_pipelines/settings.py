"""What a deployment may set: the environment variables of the pipeline, read once and handed down.

Only the entry points (`cli`, `defs`) read settings; every other room is given what it needs, so
that a test can point it anywhere. Nothing here starts a server or opens a connection.
"""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_ADDRESS = re.compile(r"""(?:(?:"[^"]*"|[^<>@,;"]*)\s*<)?[^<>@,;"\s]+@[^<>@,;"\s]+>?""")
"""`ana@example.com` or `Ana <ana@example.com>`: not what is right, but what is surely wrong is told apart."""


def addresses_in(text: str) -> list[str]:
    """The comma-separated e-mail addresses of a variable."""
    return [address.strip() for address in text.split(",") if address.strip()]


def project_root() -> Path:
    """The checkout this package runs from, or the working directory where it was installed as a wheel."""
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "workspace.yaml").is_file() else Path.cwd()


def account_name() -> str:
    """The login name of the account that this process runs as; its number where it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # usual in containers
        return f"uid {os.getuid()}"


class Settings(BaseSettings):
    """The environment (`SAMEGOAL_*`). An empty variable counts as unset."""

    # An error that quoted what was set would show a password.
    model_config = SettingsConfigDict(
        env_prefix="SAMEGOAL_", env_ignore_empty=True, hide_input_in_errors=True
    )

    home: Path = Field(default_factory=lambda: project_root() / ".samegoal")
    """Embedded state: Postgres, landing, secret key. Also DAGSTER_HOME where that is not set."""
    database_url: SecretStr | None = None
    """Warehouse and Dagster storage; unset means the embedded Postgres under `home`."""
    landing_url: str | None = None
    """Any fsspec URL; a relative path is relative to `home`; unset means a folder under `home`."""
    secret_key: SecretStr | None = None
    """Key(s) that seal client secrets, comma-separated; unset means a key file under `home`."""
    allow_local_sources: bool = False
    """Lets a base URL be plain http or a loopback or private address: demo and tests only."""
    landing_nights: int = Field(default=35, ge=2)
    """How many nights of landed files are kept: as far as a replay can reach back."""
    run_nights: int = Field(default=400, ge=7)
    """How many nights of Dagster's runs are kept, with their events and logs."""
    retry_seconds: float = Field(default=60, ge=0, le=600)
    """How long a run of the schedule waits before it tries a step again that failed for a passing reason; the
    second and last time three times as long. 0: not at all."""
    operator: str = Field(default_factory=account_name, max_length=200)
    """Who releases and erases, as it is written down; unset means the account this runs as."""
    smtp_url: SecretStr | None = None
    """The mail server of alarms: smtp://[user:password@]host:587 (STARTTLS) or smtps://…."""
    alarm_email_to: str | None = None
    """Who gets the night's alarm by e-mail: addresses, comma-separated."""
    alarm_email_from: str | None = None
    """The sender's address; unset means the first of `alarm_email_to`."""
    alarm_webhook_url: SecretStr | None = None
    """Where the night's alarm is posted as JSON. Without it and e-mail, an alarm is a line in the log."""

    @field_validator("smtp_url", "alarm_webhook_url")
    @classmethod
    def _a_url(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """A misspelt channel is told at the start, not on the night that has something to say."""
        schemes = ("smtp", "smtps") if info.field_name == "smtp_url" else ("https", "http")
        try:
            parts = urlsplit(url.get_secret_value() if url else f"{schemes[0]}://none")
            usable = parts.scheme in schemes and parts.hostname and parts.port != 0
        except ValueError:  # whose text would quote a part of it
            usable = False
        if not usable:
            raise ValueError(f"it must be {schemes[0]}:// and a host")
        return url

    @field_validator("alarm_email_to")
    @classmethod
    def _with_a_server(cls, addresses: str | None, info: ValidationInfo) -> str | None:
        """Addresses without a mail server would be an alarm that never rings."""
        if addresses and not info.data.get("smtp_url"):
            raise ValueError("it needs SAMEGOAL_SMTP_URL")
        return addresses

    @field_validator("alarm_email_to", "alarm_email_from")
    @classmethod
    def _usable_addresses(cls, addresses: str | None, info: ValidationInfo) -> str | None:
        """One that no mail server takes is told at the start, too: with it, nobody would get the mail."""
        if addresses is None:
            return None
        given = addresses_in(addresses)
        if not given or not all(_ADDRESS.fullmatch(address) for address in given):
            raise ValueError("it must be e-mail addresses such as ana@example.com, separated by commas")
        if info.field_name == "alarm_email_from" and len(given) > 1:
            raise ValueError("it must be one e-mail address")
        return addresses

    @model_validator(mode="after")
    def _with_recipients(self) -> Self:
        """A mail server without recipients would be an alarm that never rings, either."""
        if self.smtp_url and not self.alarm_email_to:
            raise ValueError("SAMEGOAL_SMTP_URL needs SAMEGOAL_ALARM_EMAIL_TO")
        return self

    @field_validator("operator")
    @classmethod
    def _on_one_line(cls, operator: str) -> str:
        """Without line breaks, which would make one record look like two; blank is no name."""
        return " ".join(operator.split()) or account_name()

    @model_validator(mode="after")
    def _certificates_at_hand(self) -> Self:
        """Requests would fail at every request to Qmlativ, as if the district's server did not answer."""
        bundle = os.environ.get("REQUESTS_CA_BUNDLE")
        if bundle and not Path(bundle).exists():
            raise ValueError("REQUESTS_CA_BUNDLE names a file that is not there: correct or unset it")
        return self

    def model_post_init(self, _context: object) -> None:
        """Make the home absolute, so that a change of directory does not move it."""
        self.home = self.home.expanduser().absolute()

    def make_home(self) -> Path:
        """The home, made where it is missing, and closed to other accounts.

        Run by root, Postgres works there as an account of its own, which must pass through; the secret key
        and the landing are closed to it all the same. From here on, nothing that this process makes can be
        written by others, whatever its umask was.
        """
        os.umask(os.umask(0o077) | 0o022)
        self.home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        return self.home

    @property
    def landing_root(self) -> str:
        """Where landed files are: a path or fsspec URL without a slash at its end.

        A relative path is below the home: each process of the pipeline may have another working directory.
        """
        url = self.landing_url or "landing"
        return (url if "://" in url else str(self.home / Path(url).expanduser())).rstrip("/")

    @property
    def configured_database_url(self) -> str | None:
        """The Postgres to use in place of the embedded one, if any."""
        return self.database_url.get_secret_value() if self.database_url else None

    @property
    def configured_secret_keys(self) -> str | None:
        """The sealing keys as given, comma-separated, if any."""
        return self.secret_key.get_secret_value() if self.secret_key else None
