"""The servers that messages are sent to."""

from samegoal_pipelines_tests.reporting.servers import (  # noqa: F401
    certificate,
    chat,
    hook,
    mailbox,
)
