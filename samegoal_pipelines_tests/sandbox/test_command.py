"""The sandbox as a command: it says where it is, and stops when told to."""

import re
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest
import requests

from samegoal_pipelines.sandbox import Sandbox, serve
from samegoal_pipelines_tests.cli.asking import run, start


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    sizes = ("--districts", "2", "--students", "30", "--port", "0", "--today", "2026-10-05")
    started = start("sandbox", *sizes, "--grant-entity", "1", "--grant-entity", "2")
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
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refusal = run("sandbox", "--districts", "1", "--students", "1", "--port", str(port)).refusal
    assert f"cannot listen on port {port}: Address already in use" in refusal


@pytest.mark.parametrize("text", ["{", '{"status": 500}', '[{"stauts": 500}]', '[{"run": 1}]'])
def test_a_faults_file_that_cannot_be_used_is_one_clear_line(tmp_path, text):
    file = tmp_path / "faults.json"
    file.write_text(text)
    assert f"cannot use the faults file {file}" in run("sandbox", "--faults", str(file)).refusal


def test_several_servers_may_run_at_once():
    with serve(Sandbox([])) as first, serve(Sandbox([])) as second:
        assert first.url != second.url
        assert requests.get(first.url, timeout=60).status_code == 404
        assert requests.get(second.url, timeout=60).status_code == 404
    with pytest.raises(requests.ConnectionError):
        requests.get(first.url, timeout=60)
