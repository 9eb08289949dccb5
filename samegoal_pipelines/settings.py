"""What a deployment may set: the environment variables of the pipeline, read once and handed down.

Only the entry points (`cli`, `defs`) read settings; every other room is given what it needs, so
that a test can point it anywhere. Nothing here starts a server or opens a connection.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
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

    model_config = SettingsConfigDict(env_prefix="SAMEGOAL_", env_ignore_empty=True)

    home: Path = Field(default_factory=lambda: project_root() / ".samegoal")
    """Embedded state: Postgres, landing, secret key. Also DAGSTER_HOME where that is not set."""
    database_url: SecretStr | None = None
    """Warehouse and Dagster storage; unset means the embedded Postgres under `home`."""
    landing_url: str | None = None
    """Any fsspec URL; unset means a folder under `home`."""
    secret_key: SecretStr | None = None
    """Key(s) that seal client secrets, comma-separated; unset means a key file under `home`."""
    allow_local_sources: bool = False
    """Lets a base URL be plain http or a loopback or private address: demo and tests only."""
    landing_nights: int = Field(default=35, ge=2)
    """How many nights of landed files are kept: as far as a replay can reach back."""
    operator: str = Field(default_factory=account_name, max_length=200)
    """Who releases and erases, as it is written down; unset means the account this runs as."""

    @field_validator("operator")
    @classmethod
    def _on_one_line(cls, operator: str) -> str:
        """Without line breaks, which would make one record look like two; blank is no name."""
        return " ".join(operator.split()) or account_name()

    def model_post_init(self, _context: object) -> None:
        """Make the home absolute, so that a change of directory does not move it."""
        self.home = self.home.expanduser().absolute()

    def make_home(self) -> Path:
        """The home, made where it is missing, and closed to other accounts.

        Run by root, Postgres works there as an account of its own, which must pass through; the secret key
        and the landing are closed to it all the same.
        """
        self.home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        return self.home

    @property
    def landing_root(self) -> str:
        """Where landed files lie: a path or fsspec URL without a slash at its end."""
        return (self.landing_url or str(self.home / "landing")).rstrip("/")

    @property
    def configured_database_url(self) -> str | None:
        """The Postgres to use in place of the embedded one, if any."""
        return self.database_url.get_secret_value() if self.database_url else None

    @property
    def configured_secret_keys(self) -> str | None:
        """The sealing keys as given, comma-separated, if any."""
        return self.secret_key.get_secret_value() if self.secret_key else None
