"""Client secrets at rest."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from samegoal_pipelines.districts.errors import DecryptionError
from samegoal_pipelines.districts.sealing import Sealer

SECRET = "s3cret-äöü"


def new_key() -> str:
    return Fernet.generate_key().decode()


def test_a_key_is_made_on_first_use_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    sealer = Sealer(home, None)
    assert not home.exists()
    sealed = sealer.seal(SECRET)
    assert SECRET.encode() not in sealed
    assert stat.S_IMODE((home / "secret.key").stat().st_mode) == 0o600
    assert [file.name for file in home.iterdir()] == ["secret.key"]
    assert Sealer(home, None).open(sealed, "grand-bend") == SECRET


def test_commands_that_start_at_once_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        sealed = list(threads.map(lambda _: Sealer(tmp_path, None).seal(SECRET), range(8)))
    assert {Sealer(tmp_path, None).open(one, "grand-bend") for one in sealed} == {SECRET}


def test_the_first_of_several_keys_seals_and_all_of_them_open(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    sealed = Sealer(tmp_path, old).seal(SECRET)
    rotated = Sealer(tmp_path, f"{new}, {old}")
    assert rotated.open(sealed, "grand-bend") == SECRET
    assert Sealer(tmp_path, new).open(rotated.seal(SECRET), "grand-bend") == SECRET
    with pytest.raises(DecryptionError):
        Sealer(tmp_path, old).open(rotated.seal(SECRET), "grand-bend")
    assert list(tmp_path.iterdir()) == []


def test_a_lost_key_is_said_with_district_and_remedy(tmp_path: Path) -> None:
    sealed = Sealer(tmp_path / "one", None).seal(SECRET)
    for sealer in (Sealer(tmp_path / "two", None), Sealer(tmp_path, new_key())):
        with pytest.raises(
            DecryptionError, match=r"^grand-bend: .*bring that key back, or .*rotate-secret grand-bend"
        ) as caught:
            sealer.open(sealed, "grand-bend")
        assert caught.value.__suppress_context__
    assert not (tmp_path / "two").exists()


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    sealed = Sealer(tmp_path, None).seal(SECRET)
    (tmp_path / "secret.key").chmod(0o644)
    with pytest.raises(DecryptionError, match=r"can be read by others \(mode 0644\); run: chmod 600"):
        Sealer(tmp_path, None).open(sealed, "grand-bend")


@pytest.mark.parametrize("method", ["read_text", "exists"])
def test_a_key_file_of_another_account_is_one_plain_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Root, as whom tests may run, is refused nothing: so the refusal is played. Or the folder is refused."""
    sealer = Sealer(tmp_path, None)
    sealed = sealer.seal(SECRET)

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, method, refuse)
    for use in (
        lambda: sealer.open(sealed, "grand-bend"),
        lambda: sealer.reseal(sealed, "grand-bend"),
        lambda: sealer.needs_an_old_key(sealed),
        lambda: sealer.seal(SECRET),
        sealer.check,
        sealer.put_new_key_first,
    ):
        with pytest.raises(
            DecryptionError, match=r"secret.key cannot be read \(Permission denied\); .*chown"
        ):
            use()


def test_a_folder_in_the_place_of_the_key_file_is_one_plain_line(tmp_path: Path) -> None:
    (tmp_path / "secret.key").mkdir(mode=0o700)
    with pytest.raises(DecryptionError, match=r"secret.key cannot be read \(Is a directory\)"):
        Sealer(tmp_path, None).open(b"sealed", "grand-bend")


@pytest.mark.parametrize("key", ["hunter2", "äöü", ",", f"{'A' * 44},"])
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    with pytest.raises(
        DecryptionError, match="SAMEGOAL_SECRET_KEY contains an invalid key; make one with: python"
    ) as caught:
        Sealer(tmp_path, key).seal(SECRET)
    assert "hunter2" not in str(caught.value)
