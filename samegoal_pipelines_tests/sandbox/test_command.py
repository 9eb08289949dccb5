"""The sandbox as a command: it says where it is, and stops when told to."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import date

import pytest
import requests

from samegoal_pipelines.sandbox import Sandbox, SandboxError, run, serve

SCRIPT = """
from datetime import date
from samegoal_pipelines.sandbox import run
run(districts=2, students=30, port=0, today=date(2026, 10, 5), grant_entities=[1, 2])
"""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    yield started
    started.kill()
    started.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_what_is_needed_to_read_it_and_stops_on_a_signal(process, number):
    output = ""
    for line in process.stdout:
        output += line
        if output.count("to register") == 2:
            break
    labels = ("id", "base URL", "client key", "client secret")
    ids, base_urls, keys, secrets = (re.findall(rf"{label} +(\S+)", output) for label in labels)
    assert ids == ["cedar-hollow", "dry-fork"]
    form = {"grant_type": "client_credentials", "client_id": keys[1], "client_secret": secrets[1]}
    base_url = base_urls[1]
    token = requests.post(f"{base_url}/oauth/token", data=form, timeout=60).json()["access_token"]
    signed = {"Authorization": f"Bearer {token}"}
    asked = [
        requests.get(f"{base_url}/Custom/{entity}/District/Entity", headers=signed, timeout=60)
        for entity in (1, 2, 3)
    ]
    assert [answer.status_code for answer in asked] == [200, 200, 403], "only what is granted"
    process.send_signal(number)
    rest = process.stdout.read()
    assert process.wait(timeout=60) == 0
    assert rest.splitlines()[-1] == "The sandbox has stopped."


def test_a_taken_port_is_one_clear_line():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SandboxError, match=f"cannot listen on port {port}: Address already in use"):
            run(districts=1, students=1, port=port, today=date(2026, 10, 5))


@pytest.mark.parametrize("text", [None, "{", '{"status": 500}', '[{"stauts": 500}]', '[{"run": 1}]'])
def test_a_faults_file_that_cannot_be_used_is_one_clear_line(tmp_path, text):
    file = tmp_path / "faults.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SandboxError, match=r"faults\.json") as raised:
        run(faults_file=file)
    assert "\n" not in str(raised.value)


def test_several_servers_may_run_at_once():
    with serve(Sandbox([])) as first, serve(Sandbox([])) as second:
        assert first.url != second.url
        assert requests.get(first.url, timeout=60).status_code == 404
        assert requests.get(second.url, timeout=60).status_code == 404
    with pytest.raises(requests.ConnectionError):
        requests.get(first.url, timeout=60)
