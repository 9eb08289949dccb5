"""One deployment's warehouse, registry and landing, made from its settings.

Dagster's resources and the terminal share it, so both act on the same state. Each part is created on first
use: a command that needs no Postgres does not start one.
"""

from collections.abc import Callable
from functools import cached_property

from sqlalchemy import Engine

from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.districts.registry import Registry
from samegoal_pipelines.landing import Landing
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.postgres.url import DatabaseURL
from samegoal_pipelines.settings import Settings
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import Role, let_roles_log_in, role_url

Progress = Callable[[str, int], None]


class Deployment:
    """The parts of one deployment, by default the environment's."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.debug = False
        """Whether a command shows tracebacks and Dagster's own log."""
        self.progress: Progress | None = None
        """Called for every page read, with object and rows, from several threads. Used for progress bars."""

    @cached_property
    def database_url(self) -> str:
        """The Postgres of this deployment; starts the embedded one if none is configured."""
        home, configured = self.settings.make_home(), self.settings.configured_database_url
        return DatabaseURL.parse(configured).libpq if configured else EmbeddedPostgres(home).acquire()

    def role_url(self, role: Role) -> str:
        """A URL for psql and other tools that acts as `role`. Creates the tables if necessary."""
        _ = self.warehouse
        return role_url(self.database_url, role, as_login=not self.settings.configured_database_url)

    @cached_property
    def warehouse(self) -> Engine:
        """The warehouse, migrated to the newest tables."""
        engine = warehouse_engine.connect(self.database_url)
        warehouse_engine.migrate(engine)
        if not self.settings.configured_database_url:
            let_roles_log_in(engine)
        return engine

    @cached_property
    def registry(self) -> Registry:
        """The registered districts and their encrypted credentials."""
        settings = self.settings
        cipher = SecretCipher(settings.make_home(), settings.configured_secret_keys)
        local = settings.allow_local_sources
        return Registry(self.warehouse, cipher, settings.operator, allow_local=local)

    @cached_property
    def landing(self) -> Landing:
        """The landed files."""
        if self.settings.landing_url is None:
            self.settings.make_home()
        return Landing(self.settings.landing_root)
