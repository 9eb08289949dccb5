"""The fixtures of isolation; see `samegoal_pipelines_tests.warehouse.role_fixtures`."""

from samegoal_pipelines_tests.warehouse.role_fixtures import act, two_districts

__all__ = ["act", "two_districts"]
