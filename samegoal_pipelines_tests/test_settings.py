"""What the environment says, and what holds where it says nothing."""

import os
import pwd

import pytest

from samegoal_pipelines.settings import Settings


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
    monkeypatch.setenv("SAMEGOAL_LANDING_NIGHTS", "2")
    assert Settings().landing_nights == 2
    for wrong in ("1", "0", "-3", "many"):
        monkeypatch.setenv("SAMEGOAL_LANDING_NIGHTS", wrong)
        with pytest.raises(ValueError, match="landing_nights"):
            Settings()
