"""A district's end, as a person at a terminal meets it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.remote_origin import RemoteJobOrigin

from samegoal_pipelines.defs.district_run import BY_COMMAND_TAG
from samegoal_pipelines.defs.instance import add_partition, open_instance
from samegoal_pipelines.districts.errors import DistrictError
from samegoal_pipelines.operations.erase import erase_district
from samegoal_pipelines.reporting.report import make_report
from samegoal_pipelines.settings import Settings
from samegoal_pipelines.tables.warehouse import alerts_sent
from samegoal_pipelines.warehouse import erase
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines_tests.cli.asking import run
from samegoal_pipelines_tests.defs.daemon_fixtures import REPOSITORY
from samegoal_pipelines_tests.defs.test_housekeeping import land
from samegoal_pipelines_tests.mass_changes import enrolled
from samegoal_pipelines_tests.pipeline import TODAY

ERASURES = "select district_id, erased_by, files_erased from samegoal.erasures order by 1"


@pytest.fixture
def both(district):
    return [
        district(enrolled(1), id=name, name=f"{name.title()} ISD", code=name) for name in ("alpha", "beta")
    ]


@pytest.fixture
def published(pipeline, both, prepared):
    def nights() -> None:
        pipeline.add(*both)
        assert pipeline.run("alpha").published
        assert pipeline.run("beta").published

    prepared("a night each of two districts", nights)
    return pipeline


@pytest.fixture
def registered(pipeline, deployment, both):
    """Two districts that are registered, have a partition, and of which something has landed."""
    pipeline.add(*both)
    for made in both:
        add_partition(deployment.settings, made.id)
        land(deployment, made.id, TODAY)
    return pipeline


def files(deployment, district_id: str) -> list[Path]:
    paths = Path(deployment.settings.landing_root, district_id).rglob("*")
    return sorted(path for path in paths if path.is_file())


def tables_with(pipeline, condition: str) -> set[str]:
    """The warehouse's tables with such a row."""
    tables = pipeline.rows("select tablename from pg_tables where schemaname = 'samegoal'")
    return {
        name for (name,) in tables if pipeline.rows(f"select from samegoal.{name} as t where {condition}")
    }


def rows_left(pipeline, district_id: str) -> set[str]:
    return tables_with(pipeline, f"to_jsonb(t) ->> 'district_id' = '{district_id}'")


def partitions() -> set[str]:
    with open_instance(Settings()) as instance:
        return {*instance.get_dynamic_partitions("district")}


@pytest.mark.slow
def test_only_a_confirmed_erasure_erases_and_leaves_no_row_or_report(published, deployment, monkeypatch):
    """Each table is searched, not only those with a column for the district; and each file."""
    monkeypatch.setenv("SAMEGOAL_OPERATOR", "Pat Young")
    now = datetime.now(UTC)
    for night in (TODAY, TODAY - timedelta(days=1)):
        report = make_report(deployment.warehouse, now, night)
        deployment.landing.keep_page(night, report.html("http://ui") + "<!-- alpha, beta and alpha-2 -->")
    sent = (["alpha late", "alpha-2 held", "beta failed (clock)"], ["alpha failed"])
    for part, lines in enumerate(sent, 1):
        with as_writer(deployment.warehouse, "alpha", "recording") as connection:
            key = {"night": TODAY, "deadline": now, "channel": "slack", "part": part, "sent_at": now}
            row = {**key, "districts": len(lines), "digest": "\n".join(lines)}
            connection.execute(sa.insert(alerts_sent).values(**row))
    others = published.published("beta"), files(deployment, "beta")
    landed = len(files(deployment, "alpha"))
    assert landed > 20

    asked = run("districts", "erase", "alpha").ok
    assert "would be erased" in asked.stdout
    assert "rows of student_status_history" in asked.stdout
    assert asked.stderr.startswith("alpha: nothing is erased yet; ")
    assert asked.stderr.count("\n") == 1
    assert published.statuses("alpha")
    assert len(files(deployment, "alpha")) == landed

    erased = run("districts", "erase", "alpha", "--yes")
    assert (erased.returncode, erased.stderr) == (0, "")
    assert "recorded as done by Pat Young" in erased.stdout
    assert "Dagster's record of past runs still names the district" in erased.stdout
    assert published.rows(ERASURES) == [("alpha", "Pat Young", landed)]
    assert partitions() == {"beta"}
    assert (published.published("beta"), files(deployment, "beta")) == others
    assert tables_with(published, r"t::text ~ '\malpha(?!-)|Alpha ISD'") == {"erasures"}
    assert published.rows("select digest, districts from samegoal.alerts_sent order by part") == [
        ("alpha-2 held\nbeta failed (clock)", 3),
        ("", 1),
    ]
    pages = deployment.landing.pages()
    assert [*pages] == [TODAY - timedelta(days=1), TODAY]
    assert not [text for text in pages.values() if "alpha" in text.replace("alpha-2", "") or "Alpha" in text]
    assert "Beta ISD" in pages[TODAY]
    assert not [path for path in Path(deployment.settings.landing_root).rglob("*alpha*")]

    again = run("districts", "erase", "alpha", "--yes", "--json").refusal
    assert again.startswith("error: alpha: there is no data of this district")


def test_a_script_may_ask_what_would_go(registered):
    facts = {"rows": {"districts": 1, "district_credentials": 1}, "files": 2, "partition": True}
    asked = run("districts", "erase", "alpha", "--json")
    assert asked.json == {"district_id": "alpha", "erased": False, **facts}


@pytest.mark.parametrize("killed_at", ["landing", "partition", "record"])
def test_the_next_erasure_finishes_a_killed_one(registered, deployment, both, monkeypatch, killed_at):
    def die(*_):
        raise KeyboardInterrupt

    place = {
        "landing": (deployment.landing, "erase"),
        "partition": (dg.DagsterInstance, "delete_dynamic_partition"),
        "record": (erase, "finish"),
    }
    with monkeypatch.context() as killing:
        killing.setattr(*place[killed_at], die)
        with pytest.raises(KeyboardInterrupt):
            erase_district(deployment, "alpha")

    assert rows_left(registered, "alpha") == {"erasures"}
    with pytest.raises(DistrictError, match=r"not completely erased; finish it first: .* alpha --yes"):
        registered.add(both[0])

    left = len(files(deployment, "alpha"))
    assert erase_district(deployment, "alpha", dry_run=True)["rows"] == {}
    erase_district(deployment, "alpha")

    assert not files(deployment, "alpha")
    assert partitions() == {"beta"}
    assert [(who, count) for who, _, count in registered.rows(ERASURES)] == [("alpha", left)]
    registered.source.sandbox.districts.pop()
    registered.add(both[0])


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED])
def test_a_district_with_a_run_going_on_is_not_erased(registered, deployment, status):
    run_id = start_run(status)
    with pytest.raises(DistrictError, match=f"^alpha: erasing: run {run_id} is still in progress; wait"):
        erase_district(deployment, "alpha")
    assert rows_left(registered, "alpha") == {"districts", "district_credentials"}
    assert files(deployment, "alpha")
    assert erase_district(deployment, "beta")["rows"]["districts"] == 1


def test_a_run_that_begins_at_the_last_moment_keeps_its_files(registered, deployment, monkeypatch):
    """Its rows are refused by the warehouse; what it lands must not be what is left of the district."""
    erasing = erase.erase_rows

    def overtaken(*arguments):
        start_run(**{BY_COMMAND_TAG: "true"})
        return erasing(*arguments)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(erase, "erase_rows", overtaken)
        with pytest.raises(DistrictError, match="still in progress; wait for its end or cancel it, then run"):
            erase_district(deployment, "alpha")
    assert rows_left(registered, "alpha") == {"erasures"}
    assert files(deployment, "alpha")

    assert erase_district(deployment, "alpha")["files"] == 2  # the run's process is gone
    assert not files(deployment, "alpha")


def test_what_is_no_district_erases_nothing(registered, deployment):
    before = files(deployment, "beta")
    for district_id in ("nowhere", "../beta", "", "beta' or '1'='1"):
        with pytest.raises(DistrictError):
            erase_district(deployment, district_id)
    assert rows_left(registered, "beta") == {"districts", "district_credentials"}
    assert files(deployment, "beta") == before
    assert registered.rows(ERASURES) == []


def start_run(status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED, **tags: str) -> str:
    """A run of the nightly job for alpha that Dagster takes to be in progress."""
    name, tags = "nightly_snapshot", {"dagster/partition": "alpha", **tags}
    origin = RemoteJobOrigin(REPOSITORY, name)
    with open_instance(Settings()) as instance:
        run = dg.DagsterRun(name, tags=tags, status=status, remote_job_origin=origin)
        return instance.add_run(run).run_id
