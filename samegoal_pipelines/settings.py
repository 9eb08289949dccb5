"""What a deployment may set: the environment variables of the pipeline, read once and handed down.

Only the entry points (`cli`, `defs`) read settings; every other room is given what it needs, so
that a test can point it anywhere. Nothing here starts a server or opens a connection.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


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
    alert_urls: SecretStr | None = None
    """Where alerts go: apprise URLs, comma-separated. Without any, an alert is a line in the log."""
    alert_all_well: bool = False
    """Whether a night without trouble gets a message, too."""

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
