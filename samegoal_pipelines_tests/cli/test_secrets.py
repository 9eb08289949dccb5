"""No secret stands where somebody could read it: arguments, events, logs, listings, run config, landed files.

Everything that handles one is done with secrets that can be recognised, and then all of it is searched.
"""

import json

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.settings import Settings
from samegoal_pipelines_tests import traces
from samegoal_pipelines_tests.pipeline import Pipeline

SECRET, WRONG, NEXT = "xyzzy-client-secret", "plugh-wrong-secret", "fnord-next-secret"
MAIL, HOOK = "quux-mail-password", "blorb-webhook-token"
DATABASE = "frotz-database-password"
SETTINGS = [MAIL, HOOK, DATABASE]
ENROLLED = [{"StudentID": 11, "StartDate": "2026-08-12"}]


@pytest.fixture
def environment(environment: None, deployment_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = sa.make_url(deployment_url).set(password=DATABASE)
    monkeypatch.setenv("SAMEGOAL_DATABASE_URL", url.render_as_string(hide_password=False))
    mail = f"mailtos://user:{MAIL}@127.0.0.1:9?from=nights@example.org&to=pat@example.org"
    monkeypatch.setenv("SAMEGOAL_ALERT_URLS", f"{mail},json://127.0.0.1:9/{HOOK},slack://{HOOK}")


def test_no_command_leaves_a_secret_anywhere(environment, source, district, deployment, ask, tmp_path):
    made = district(ENROLLED)
    made.client_secret = SECRET
    source.sandbox.districts.append(made)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for word in (SECRET, WRONG, NEXT):
        (secrets / word[:5]).write_text(word)
    url = source.base_url(made)
    added = ["districts", "add", made.id, "--name", made.name, "--base-url", url, "--client-key"]
    said = [ask(*added, made.client_key, "--client-secret-file", str(secrets / SECRET[:5]))]
    keys = (tmp_path / "home" / "secret.key").read_text().split()

    said += [ask("districts", "verify", made.id), ask("sync", made.id)]
    assert [one.returncode for one in said] == [0, 0, 0]
    source.faults.add(object="Student/Student", kind="list", status=500, times=5)
    said += [ask("sync", made.id), ask("--debug", "sync", made.id), ask("districts", "rotate-key")]
    keys += (tmp_path / "home" / "secret.key").read_text().split()
    rotate = ["districts", "rotate-secret", made.id, "--client-secret-file"]
    said.append(ask(*rotate, str(secrets / WRONG[:5])))
    said += [ask("sync", made.id), ask("sync", made.id, "--debug"), ask("districts", "verify", made.id)]
    assert said[-1].returncode == 1
    made.client_secret = NEXT
    said += [ask(*rotate, str(secrets / NEXT[:5])), ask("sync", made.id, "--json")]
    assert said[-1].returncode == 0
    listings = [["districts", "list"], ["districts", "show", made.id], ["districts", "verify", made.id]]
    said += [ask(*words, "--json") for words in [*listings, ["districts", "verify", "--all"], ["report"]]]
    (tmp_path / "home" / "secret.key").write_text("plover-is-no-key")
    said += [ask("sync", made.id), ask("districts", "rotate-key"), ask("districts", "verify", made.id)]
    assert [one.returncode for one in said[-3:]] == [1, 1, 1]
    said += [ask("alerts", "test"), ask("dev"), ask("--debug", "alerts", "test")]
    assert [one.returncode for one in said[-3:]] == [1, 1, 1]
    assert said[-3].stdout.splitlines() == [
        "not sent: mailtos: the server cannot be reached",
        "not sent: json: the server cannot be reached",
        "not sent: slack: not a valid apprise URL, or with an invalid recipient; see Alerts in "
        "docs/production.md",
    ]

    tokens = list(source.tokens)
    assert len(tokens) > 3
    assert len(keys) == 2
    words = [SECRET, WRONG, NEXT, *SETTINGS, *keys, *tokens, "plover-is-no-key"]
    assert traces.in_texts([text for one in said for text in (one.stdout, one.stderr)], words) == []
    assert traces.rows_looked_at(deployment.warehouse) > 100
    assert traces.in_database(deployment.warehouse, words) == []
    assert any((tmp_path / "home" / "landing").rglob("*.parquet"))
    assert traces.in_files([tmp_path / "home"], words) == []
    with open_instance(deployment.settings) as instance:
        runs = instance.get_runs()
        assert len(runs) > 3
        assert all({**run.run_config, "loggers": {}} == {"ops": {}, "loggers": {}} for run in runs)


def test_a_search_of_the_database_finds_what_is_there(deployment, pipeline, district):
    """Or the test above would prove nothing."""
    pipeline.add(district(ENROLLED), client_key="hidden-key-4711")
    pipeline.rows(
        "update samegoal.district_credentials set encrypted_secret = convert_to('in-bytes', 'UTF8')"
    )
    assert traces.in_database(deployment.warehouse, ["hidden-key-4711", "in-bytes", "nowhere"]) == [
        f"{traces.CLIENT_KEYS}: hidden-key-4711",
        f"{traces.CLIENT_KEYS}: in-bytes",
    ]


def test_nothing_that_holds_a_secret_shows_it(environment, source, district, monkeypatch):
    key = Fernet.generate_key().decode()
    monkeypatch.setenv("SAMEGOAL_SECRET_KEY", key)
    made = district(ENROLLED)
    made.client_secret = SECRET
    deployment = Deployment()
    registry = deployment.registry
    Pipeline(deployment, source).add(made)
    one = registry.get(made.id)
    connection = registry.connection(one)
    settings = Settings()
    with QmlativClient(connection) as client:
        shown = [
            f"{thing!r} {thing!s} {vars(thing) if hasattr(thing, '__dict__') else ''}"
            for thing in (settings, one, connection, client)
        ]
    things = (connection.client_secret, deployment, registry, registry._cipher, deployment.warehouse, made)
    shown += map(repr, things)
    as_data = settings.model_dump()
    shown += [settings.model_dump_json(), json.dumps(as_data, default=str), str(as_data)]
    deployment.warehouse.dispose()

    assert connection.client_secret.get_secret_value() == SECRET
    assert traces.in_texts(shown, [SECRET, key, *SETTINGS]) == []
