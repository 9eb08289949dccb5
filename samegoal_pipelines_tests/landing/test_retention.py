"""Nights that are over are deleted whole, and a district's files all at once."""

import shutil
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from samegoal_pipelines.landing import Landing, LandingError
from samegoal_pipelines.landing.store import MANIFEST, REPORTS
from samegoal_pipelines_tests.landing.test_store import NIGHT, land, schools

NIGHTS = [NIGHT - timedelta(days=n) for n in (3, 2, 1, 0)]


def prune(landing: Landing, keep_from: date, also_keep: Collection[date] = frozenset()) -> list[date]:
    """Prune alpha on the last of the nights."""
    return landing.prune("alpha", keep_from, also_keep, today=NIGHT, local_date=datetime.date)


@pytest.fixture(params=["folder", "memory"])
def landing(request, tmp_path: Path) -> Landing:
    """Four nights of alpha, the second with two runs; and one of its neighbour, whose name begins alike."""
    root = str(tmp_path / "landing") if request.param == "folder" else f"memory://{tmp_path.name}"
    landing = Landing(root)
    for night in NIGHTS:
        land(landing, night=night)
    land(landing, [2], night=NIGHTS[1], run_id="run-2")
    land(landing, {}, asset="empty")
    land(landing, [7], night=NIGHTS[0], district_id="alpha-2")
    return landing


def test_nights_before_the_first_to_keep_are_deleted_with_all_their_runs(landing):
    assert prune(landing, NIGHTS[2]) == NIGHTS[:2]
    assert landing.nights("alpha") == NIGHTS[2:]
    assert [schools(landing, night=night) for night in NIGHTS[2:]] == [[1], [1]]
    assert schools(landing, night=NIGHTS[0], district_id="alpha-2") == [7]
    assert prune(landing, NIGHTS[2]) == []


def test_a_night_is_kept_as_long_after_it_landed_whatever_its_date(landing):
    """`sync --today` names days to come and days that are long over."""
    to_come, long_over = date(2030, 1, 1), date(2025, 1, 1)
    for night in (to_come, long_over):
        land(landing, night=night, landed_at=datetime.combine(NIGHTS[1], time(6), UTC))

    assert prune(landing, NIGHTS[1]) == NIGHTS[:1]
    assert prune(landing, NIGHTS[2]) == [long_over, NIGHTS[1], to_come]


def test_a_night_may_be_kept_although_it_is_older(landing):
    assert prune(landing, NIGHTS[3], {NIGHTS[1]}) == [NIGHTS[0], NIGHTS[2]]
    assert landing.nights("alpha") == [NIGHTS[1], NIGHTS[3]]


def test_what_a_killed_run_left_in_a_kept_night_stays(landing):
    folder = landing._night("alpha", NIGHTS[3])
    landing.files.rm_file(f"{folder}/run-1/schools/{MANIFEST}")
    prune(landing, NIGHTS[3])
    assert landing.files.exists(f"{folder}/run-1/schools/School.parquet")


def test_a_night_that_is_deleted_halfway_is_not_read(landing, monkeypatch):
    """Killed after its first deletions; the next prune does the rest."""
    deleting = landing._delete_files

    def die_after_the_manifests(paths):
        deleting(paths)
        raise KeyboardInterrupt

    monkeypatch.setattr(landing, "_delete_files", die_after_the_manifests)
    with pytest.raises(KeyboardInterrupt):
        prune(landing, NIGHTS[2])
    monkeypatch.undo()

    assert landing.nights("alpha") == NIGHTS
    with pytest.raises(LandingError, match="nothing has landed"):
        schools(landing, night=NIGHTS[0])
    assert prune(landing, NIGHTS[2]) == NIGHTS[:2]
    assert landing.nights("alpha") == NIGHTS[2:]


def test_files_that_somebody_else_deletes_meanwhile_are_no_fault(landing, monkeypatch):
    other, deleting = Landing(landing.root), landing._delete_files

    def be_overtaken(paths):
        prune(other, NIGHTS[2])
        deleting(paths)

    monkeypatch.setattr(landing, "_delete_files", be_overtaken)
    assert prune(landing, NIGHTS[2]) == NIGHTS[:2]
    assert landing.nights("alpha") == NIGHTS[2:]


def test_erasing_a_district_leaves_no_file_and_no_neighbour_untouched(landing):
    assert landing.count_files("alpha") == 11
    assert landing.erase("alpha") == 11
    assert (landing.count_files("alpha"), landing.nights("alpha")) == (0, [])
    assert not landing.files.exists(f"{landing.base}/alpha")
    assert schools(landing, night=NIGHTS[0], district_id="alpha-2") == [7]
    assert landing.prune("alpha", NIGHT, today=NIGHT, local_date=datetime.date) == []
    assert landing.erase("alpha") == 0


@pytest.mark.parametrize("name", ["", ".", "..", "../alpha", "alpha/2026-10-12", "al*", "alpha\n"])
def test_only_a_district_s_own_folder_can_be_erased(landing, name):
    with pytest.raises(LandingError, match="names no district's folder"):
        landing.erase(name)
    assert landing.count_files("alpha") == 11


def test_files_that_cannot_be_deleted_are_said_in_one_line(tmp_path, monkeypatch):
    landing = Landing(str(tmp_path / "landing"))
    land(landing, night=NIGHTS[0])

    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(LandingError) as caught:
        prune(landing, NIGHT)
    assert str(caught.value) == (
        f"landed files of alpha on {NIGHTS[0]} cannot all be deleted "
        f"(storage at {tmp_path / 'landing'}: Permission denied); "
        "check that the folder or bucket exists, is writable and has space"
    )


def page(landing: Landing, name: str, folder: str = REPORTS) -> str:
    path = f"{landing.base}/{folder}/{name}"
    landing.files.makedirs(f"{landing.base}/{folder}", exist_ok=True)
    landing.files.pipe_file(path, b"a page")
    return path


def test_pages_of_old_nights_are_deleted_and_no_other_file(landing):
    assert landing.prune_pages(date(2026, 9, 2)) == []
    old, older = page(landing, "2026-09-01.html"), page(landing, "2026-08-31.html")
    kept = [
        page(landing, "2026-09-02.html"),
        page(landing, "2026-08-31.html.bak"),
        page(landing, "2026-08-31.csv"),
        page(landing, "9999-99-99.html"),
        page(landing, "notes.html"),
        page(landing, "2026-08-31.html", folder="elsewhere"),
    ]

    pruned = landing.prune_pages(date(2026, 9, 2))

    assert pruned == [date(2026, 8, 31), date(2026, 9, 1)]
    assert not any(landing.files.exists(path) for path in (old, older))
    assert all(landing.files.exists(path) for path in kept)
    assert landing.nights("alpha") == NIGHTS
    assert landing.prune_pages(date(2026, 9, 2)) == []
