"""What the environment says, and what holds where it says nothing."""

import os
import pwd
from pathlib import Path

import pytest

from samegoal_pipelines import settings
from samegoal_pipelines.settings import Settings
from samegoal_pipelines_tests.cli.asking import run

CHECKOUT = Path(__file__).parents[1]


def test_whoever_runs_it_is_the_operator_unless_another_is_named(monkeypatch):
    account = pwd.getpwuid(os.getuid()).pw_name
    for unset in ("", "   "):
        monkeypatch.setenv("SAMEGOAL_OPERATOR", unset)
        assert Settings().operator == account
    monkeypatch.setenv("SAMEGOAL_OPERATOR", " Pat Young\nadmin ")
    assert Settings().operator == "Pat Young admin"


def test_an_account_without_a_name_goes_by_its_number(monkeypatch):
    """As in a container that runs under any number."""
    monkeypatch.delenv("SAMEGOAL_OPERATOR", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_123)
    assert Settings().operator == "uid 4000000123"


def test_35_nights_are_kept_and_at_least_2(monkeypatch):
    monkeypatch.delenv("SAMEGOAL_LANDING_NIGHTS", raising=False)
    assert Settings().landing_nights == 35
    assert Settings().run_nights == 90
    monkeypatch.setenv("SAMEGOAL_LANDING_NIGHTS", "2")
    assert Settings().landing_nights == 2
    for wrong in ("1", "0", "-3", "many"):
        monkeypatch.setenv("SAMEGOAL_LANDING_NIGHTS", wrong)
        with pytest.raises(ValueError, match="landing_nights"):
            Settings()


def test_the_home_is_in_the_checkout_from_anywhere_and_a_wheels_below_the_accounts_home(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("SAMEGOAL_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Settings().home == CHECKOUT / ".samegoal"
    installed = tmp_path / "site-packages" / "samegoal_pipelines" / "settings.py"
    monkeypatch.setattr(settings, "__file__", str(installed))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Settings().home == tmp_path / "home" / ".samegoal"


def test_a_relative_home_stays_where_it_was_and_the_accounts_home_is_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "account"))
    assert Settings(home=Path("a")).home == tmp_path / "a"
    assert Settings(home=Path("~/a")).home == tmp_path / "account" / "a"
    assert Settings(landing_url="~/b").landing_root == f"{tmp_path}/account/b"


def test_the_instance_files_at_the_top_of_the_checkout_are_those_of_the_package():
    for name in ("dagster.yaml", "workspace.yaml"):
        assert (CHECKOUT / name).samefile(settings.INSTANCE_FILES / name)


def test_init_writes_the_instance_files_once(tmp_path):
    folder = tmp_path / "dagster"
    assert run("init", str(folder)).ok
    written = {path.name: path.read_text() for path in folder.iterdir()}
    assert written == {path.name: path.read_text() for path in settings.INSTANCE_FILES.iterdir()}
    assert "exists already" in run("init", str(folder)).refusal


def test_keys_can_come_from_a_file_and_from_one_place_only(tmp_path, monkeypatch):
    file = tmp_path / "keys"
    file.write_text("new-key\nold-key\n")
    monkeypatch.delenv("SAMEGOAL_SECRET_KEY", raising=False)
    monkeypatch.setenv("SAMEGOAL_SECRET_KEY_FILE", str(file))
    assert Settings().configured_secret_keys == "new-key,old-key"
    monkeypatch.setenv("SAMEGOAL_SECRET_KEY", "another")
    with pytest.raises(ValueError, match="not both") as both:
        Settings()
    assert "another" not in str(both.value)
    monkeypatch.delenv("SAMEGOAL_SECRET_KEY")
    file.unlink()
    with pytest.raises(ValueError, match="SAMEGOAL_SECRET_KEY_FILE names a file that does not exist"):
        Settings()


def test_certificates_that_are_not_there_are_not_blamed_on_qmlativ(tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    with pytest.raises(ValueError, match="REQUESTS_CA_BUNDLE names a file that does not exist"):
        Settings(home=tmp_path)
    (tmp_path / "gone.pem").write_text("no certificate")
    with pytest.raises(ValueError, match="REQUESTS_CA_BUNDLE names a file without readable certificates"):
        Settings(home=tmp_path)


def test_a_relative_landing_is_below_the_home(tmp_path):
    assert Settings(home=tmp_path, landing_url="a/b/").landing_root == f"{tmp_path}/a/b"
    assert Settings(home=tmp_path, landing_url="/srv/landing").landing_root == "/srv/landing"
    assert Settings(home=tmp_path, landing_url="s3://bucket/a").landing_root == "s3://bucket/a"
