"""The settings of a deployment: environment variables, read once and passed down.

Only the entry points (`cli`, `defs`) read settings. Every other package gets what it needs as arguments, so
that tests can use other values. Nothing here starts a server or opens a connection.
"""

import errno
import functools
import hashlib
import os
import pwd
from contextlib import suppress
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

INSTANCE_FILES = Path(__file__).resolve().parent / "instance"
"""Holds `dagster.yaml` and `workspace.yaml`. Those at the top of the checkout are links to them."""


def default_home() -> Path:
    """`.samegoal` in the checkout, or in the account's home folder if the package came from a wheel.

    It never depends on the working directory: a command run elsewhere would make a second secret key.
    """
    checkout = Path(__file__).resolve().parent.parent
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.home()) / ".samegoal"


def account_name() -> str:
    """The login name of this process's account, or its number if it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # usual in containers
        return f"uid {os.getuid()}"


def plain_link(folder: Path) -> Path:
    """A link of this account, with a short and plain name, to a folder whose path a program cannot use."""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    link = Path("/var/tmp") / f"samegoal-{os.getuid()}-{digest}"  # noqa: S108
    with suppress(FileExistsError):
        link.symlink_to(folder)
    if link.lstat().st_uid != os.getuid() or not link.is_symlink() or link.readlink() != folder:
        raise FileExistsError(errno.EEXIST, "it is not the link that the pipeline made; remove it", str(link))
    return link


class Settings(BaseSettings):
    """The environment (`SAMEGOAL_*`). An empty variable counts as unset."""

    # An error must not quote a value, which may be a password.
    model_config = SettingsConfigDict(
        env_prefix="SAMEGOAL_", env_ignore_empty=True, hide_input_in_errors=True
    )

    home: Path = Field(default_factory=default_home)
    """Embedded state: Postgres, landing, secret key. Also DAGSTER_HOME if that is not set."""
    database_url: SecretStr | None = None
    """Warehouse and Dagster storage; unset means the embedded Postgres under `home`."""
    landing_url: str | None = None
    """Any fsspec URL; a relative path is relative to `home`; unset means a folder under `home`."""
    secret_key: SecretStr | None = None
    """Key(s) that encrypt Client Secrets, comma-separated. Unset means a key file under `home`."""
    secret_key_file: Path | None = None
    """A file with the key(s), one per line, such as a mounted secret. Instead of `secret_key`."""
    allow_local_sources: bool = False
    """Allow plain HTTP, loopback and private addresses as base URLs. For demo and tests only."""
    landing_nights: int = Field(default=35, ge=2)
    """Nights of landed files to keep. Replays reach back this far."""
    history_days: int | None = Field(default=None, ge=1)
    """Days to keep the history of students who are gone, but never less than landed nights. Unset: keep."""
    run_nights: int = Field(default=90, ge=7)
    """Nights of Dagster runs to keep, with their events and logs."""
    retry_seconds: float = Field(default=60, ge=0, le=600)
    """Seconds before a scheduled run retries a step that failed for a temporary reason. The last retry
    waits three times as long. 0 turns retries off."""
    operator: str = Field(default_factory=account_name, max_length=200)
    """The name recorded for releases and erasures. Unset means this process's account."""
    stock_instance: bool = False
    """Whether DAGSTER_HOME has a dagster.yaml of Dagster's own classes, such as its Helm chart writes."""
    celery_broker_url: SecretStr | None = None
    """The broker for runs on Celery workers, such as `redis://…`. Unset means the database."""
    alert_urls: SecretStr | None = None
    """Where alerts go: apprise URLs, comma-separated. Without a URL, an alert is a log line."""
    contact_mail_url: SecretStr | None = None
    """The mail server for messages to districts' contacts: an apprise URL, mailto:// or mailtos://. Unset
    means the first mail URL in `alert_urls`."""
    alert_all_well: bool = False
    """Whether to send a message when every district is well."""
    ui_url: str = Field(default="http://localhost:3000", pattern=r"^https?://\S+$")
    """Where people open the Dagster UI. The report's page links to it."""

    @field_validator("operator")
    @classmethod
    def _on_one_line(cls, operator: str) -> str:
        """Remove line breaks, which would make one record look like two."""
        return " ".join(operator.split()) or account_name()

    @model_validator(mode="after")
    def _usable(self) -> Self:
        """Check files at startup. Make the home absolute, so that a change of directory does not move it."""
        self.home = self.home.expanduser().absolute()
        if self.secret_key_file and self.secret_key:
            raise ValueError("set SAMEGOAL_SECRET_KEY or SAMEGOAL_SECRET_KEY_FILE, not both")
        if self.secret_key_file and not self.secret_key_file.is_file():
            raise ValueError("SAMEGOAL_SECRET_KEY_FILE names a file that does not exist: correct or unset it")
        if bundle := os.environ.get("REQUESTS_CA_BUNDLE"):
            _check_certificates(bundle)  # or every request would fail as if Qmlativ did not answer
        return self

    def make_home(self) -> Path:
        """Return the home. Create it if necessary, closed to other accounts.

        From here on, other accounts cannot write to anything that this process creates, whatever its umask
        was.
        """
        os.umask(os.umask(0o077) | 0o022)
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.home

    @property
    def landing_root(self) -> str:
        """Where landed files are: a path or fsspec URL without a trailing slash.

        A relative path is relative to the home, because the processes may have different working directories.
        """
        url = self.landing_url or "landing"
        return (url if "://" in url else str(self.home / Path(url).expanduser())).rstrip("/")

    @property
    def mail_urls(self) -> list[SecretStr | None]:
        """Where to look for the mail server that writes to contacts."""
        return [self.contact_mail_url, self.alert_urls]

    @property
    def configured_database_url(self) -> str | None:
        """The Postgres to use instead of the embedded one, if any."""
        return self.database_url.get_secret_value() if self.database_url else None

    @property
    def configured_secret_keys(self) -> str | None:
        """The configured encryption keys, comma-separated, if any."""
        if self.secret_key_file:
            return ",".join(self.secret_key_file.read_text(encoding="utf-8").split())
        return self.secret_key.get_secret_value() if self.secret_key else None


@functools.cache  # a process reads its settings several times, and a bundle takes a while to load
def _check_certificates(bundle: str) -> None:
    import ssl

    if not Path(bundle).exists():
        raise ValueError("REQUESTS_CA_BUNDLE names a file that does not exist: correct or unset it")
    where = "capath" if Path(bundle).is_dir() else "cafile"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**{where: bundle})
    except OSError:  # SSLError is one, too
        trouble = "a file without readable certificates"
        raise ValueError(f"REQUESTS_CA_BUNDLE names {trouble}: correct or unset it") from None
