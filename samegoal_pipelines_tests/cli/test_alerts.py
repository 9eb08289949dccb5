"""`alerts test` sends a message to every address, and says of each whether it arrived."""

from samegoal_pipelines_tests.reporting.servers import (
    GOOGLE,
    PASSWORD,
    SLACK,
    TEAMS,
    USER,
    certificate,
    chat,
    mail,
    smtp_server,
    web_server,
)

__all__ = ["certificate", "chat"]

SUBJECT = "SameGoal: test alert"


def test_a_message_arrives_at_every_kind_of_address(ask, chat, certificate):
    with smtp_server(certificate, login=True) as mailbox, web_server() as hook:
        mailtos = mail(mailbox.port, user=f"{USER}:{PASSWORD}@")
        urls = ",".join([SLACK, GOOGLE, TEAMS, mailtos, hook.url])
        answered = ask("alerts", "test", SAMEGOAL_ALERT_URLS=urls)
    names = ("hooks.slack.com", "chat.googleapis.com", "prod-1.westus.logic.azure.com", "mailtos", "json")
    assert answered.stdout.splitlines() == [f"{name}: sent" for name in names]
    assert (answered.returncode, answered.stderr) == (0, "")
    slack, google, teams = chat.received  # as strict as the services
    assert slack["attachments"][0]["title"] == SUBJECT
    assert google["text"].startswith(f"*{SUBJECT}*")
    assert teams["attachments"][0]["content"]["body"][0]["text"] == SUBJECT
    assert [message["Subject"] for message in mailbox.received] == [SUBJECT]
    assert [posted["title"] for posted in hook.received] == [SUBJECT]


def test_one_address_that_refuses_does_not_keep_it_from_the_others(ask, chat):
    with web_server() as hook:
        hook.status = 500
        answered = ask("alerts", "test", SAMEGOAL_ALERT_URLS=f"{hook.url},{SLACK}")
    assert answered.stdout.splitlines() == [
        "not sent: json: the server refused the message (HTTP 500)",
        "hooks.slack.com: sent",
    ]
    assert answered.returncode == 1
    assert len(chat.received) == 1
