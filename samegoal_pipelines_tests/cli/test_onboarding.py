"""Following docs/onboarding.md alone, command by command, on a sandbox and a local mail server."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from samegoal_pipelines.sandbox import Sandbox, SandboxDistrict, SandboxServer
from samegoal_pipelines_tests.cli.asking import Answered, run
from samegoal_pipelines_tests.reporting.servers import Mailbox, smtp_server

PAGE = (Path(__file__).parents[2] / "docs" / "onboarding.md").read_text(encoding="utf-8")
BASE_URL, CLIENT_KEY = "https://skyward.iscorp.com/GrandBendTXStuAPI", "YOUR-CLIENT-KEY"
STEPS = {
    int(step[0]): [
        shlex.split(line)[1:]
        for block in re.findall(r"```sh\n(.*?)```", step, re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    for step in re.split(r"^## ", PAGE, flags=re.MULTILINE)
    if step[0].isdigit()
}
"""Step of the page → its commands."""


@pytest.fixture
def qmlativ(source: SandboxServer) -> SandboxDistrict:
    """The district's Qmlativ, which grants its District Entity and one school."""
    (made,) = Sandbox.generate(districts=1, students=60, seed=3).districts
    made.grant_entities(1, 4)
    source.sandbox.districts.append(made)
    return made


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with smtp_server() as box:
        url = f"mailto://127.0.0.1:{box.port}?from=setup@example.org"
        monkeypatch.setenv("SAMEGOAL_CONTACT_MAIL_URL", url)
        yield box


@pytest.fixture
def follow(environment, source, qmlativ, tmp_path, monkeypatch) -> Callable[[int], list[Answered]]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.txt").write_text(f"{qmlativ.client_secret}\n")
    (tmp_path / "students.csv").write_text("Student Id,Last Name,Grade\n999999,Gone,05\n")
    made = {BASE_URL: source.base_url(qmlativ), CLIENT_KEY: qmlativ.client_key}

    def following(step: int) -> list[Answered]:
        return [run(*(made.get(word, word) for word in command)).ok for command in STEPS[step]]

    return following


def in_words(answered: Answered) -> str:
    return " ".join(answered.stdout.split())


def shown() -> Any:
    return run("districts", "show", "grand-bend", "--json").json


def test_a_district_is_set_up_by_the_page_alone(follow, mailbox):
    assert [step for step, commands in STEPS.items() if commands] == [3, 4, 5, 6, 7, 8]
    (added,) = follow(3)
    assert "grand-bend: registered, awaiting secret" in added.stdout
    assert "awaiting secret 1" in run("report", "--no-forecast").ok.stdout
    assert (shown()["state"], shown()["expiration"]) == ("awaiting secret", "assumed")

    _, after = follow(4)
    assert "Client Secret fingerprint " in in_words(after)
    assert shown()["state"] == "active"

    verified, _ = map(in_words, follow(5))
    assert "also granted: 4 Stephen Austin High School" in verified
    assert "not granted: 2 Barbara Jordan Elementary School" in verified

    (previewed,) = map(in_words, follow(6))
    assert "compared with 1 students in the file" in previewed
    assert "missing 1 in the file, and would not be published" in previewed
    assert shown()["last_published"] is None
    assert mailbox.received == []

    synced, confirmed = follow(7)
    assert "grand-bend: published" in synced.stderr
    assert confirmed.stdout == "grand-bend: the contact was told that setup is complete\n"
    assert mailbox.recipients == [["registrar@grandbend.example.org"]] * 2
    published = shown()["last_published"]
    body = mailbox.received[0].get_body(("plain",))
    assert body is not None
    counts = f"Students: {published['students']} ({published['enrolled']} ENROLLED, "
    assert counts in " ".join(body.get_content().split())

    follow(8)
    assert (shown()["expires"], shown()["expiration"]) == (None, "never")
    assert run("report", "--no-forecast", "--json").json["expiring"] == []


def test_a_night_is_published_although_the_contact_cannot_be_told(follow, mailbox):
    for step in (3, 4):
        follow(step)
    mailbox.refuse = "550 not today"
    assert run("sync", "grand-bend").ok
    (told,) = run("report", "--no-forecast", "--json").ok.json["districts"]
    assert told["state"] == "published"
    assert told["confirmation_problem"] == "mailto: the server refused the message (SMTP 550)"
    remark = in_words(run("report", "--no-forecast"))
    assert "the contact was not told that setup is complete: mailto: the server refused" in remark
    assert remark.endswith("to do: samegoal-pipelines districts confirm grand-bend")
    mailbox.refuse = None
    assert run("sync", "grand-bend").ok
    assert run("sync", "grand-bend").ok
    assert len(mailbox.received) == 1
    assert "confirm grand-bend" not in in_words(run("report", "--no-forecast"))
