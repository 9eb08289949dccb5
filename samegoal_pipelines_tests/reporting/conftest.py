"""The servers that messages are sent to."""

from samegoal_pipelines_tests.reporting.servers import certificate, chat, hook, mailbox  # noqa: F401
