"""The fixtures of isolation; see `samegoal_pipelines_tests.warehouse.roles_at_hand`."""

from samegoal_pipelines_tests.warehouse.roles_at_hand import act, two_districts

__all__ = ["act", "two_districts"]
