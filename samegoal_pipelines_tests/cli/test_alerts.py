"""`alerts test` sends a message to every alert address, and says of each whether it arrived."""

from samegoal_pipelines_tests.reporting.servers import SLACK, certificate, chat, web_server

__all__ = ["certificate", "chat"]


def test_each_address_is_told_of_and_one_that_refuses_does_not_keep_it_from_the_others(ask, chat):
    with web_server() as hook:
        addresses = f"{hook.url},{SLACK}"
        answered = ask("alerts", "test", SAMEGOAL_ALERT_URLS=addresses)
        assert answered == (0, "json: sent\nhooks.slack.com: sent\n", "")
        hook.status = 500
        answered = ask("alerts", "test", SAMEGOAL_ALERT_URLS=addresses)
    refused = "not sent: json: the server refused the message (HTTP 500)"
    assert answered == (1, f"{refused}\nhooks.slack.com: sent\n", "")
    assert [one["attachments"][0]["title"] for one in chat.received] == ["SameGoal: test alert"] * 2
