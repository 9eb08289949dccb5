"""Client secrets at rest."""

import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.districts.errors import DecryptionError

SECRET = "s3cret-äöü"


def new_key() -> str:
    return Fernet.generate_key().decode()


def test_a_key_is_made_on_first_use_for_its_owner_only(tmp_path):
    home = tmp_path / "home"
    cipher = SecretCipher(home, None)
    assert not home.exists()
    encrypted = cipher.encrypt(SECRET)
    assert SECRET.encode() not in encrypted
    assert stat.S_IMODE((home / "secret.key").stat().st_mode) == 0o600
    assert [file.name for file in home.iterdir()] == ["secret.key"]
    assert SecretCipher(home, None).decrypt(encrypted, "grand-bend") == SECRET


def test_the_first_of_several_keys_encrypts_and_all_of_them_open(tmp_path):
    old, new = new_key(), new_key()
    encrypted = SecretCipher(tmp_path, old).encrypt(SECRET)
    rotated = SecretCipher(tmp_path, f"{new}, {old}")
    assert rotated.decrypt(encrypted, "grand-bend") == SECRET
    assert SecretCipher(tmp_path, new).decrypt(rotated.encrypt(SECRET), "grand-bend") == SECRET
    with pytest.raises(DecryptionError):
        SecretCipher(tmp_path, old).decrypt(rotated.encrypt(SECRET), "grand-bend")
    assert list(tmp_path.iterdir()) == []


def test_a_lost_key_is_said_with_district_and_next_step(tmp_path):
    encrypted = SecretCipher(tmp_path / "one", None).encrypt(SECRET)
    for cipher in (SecretCipher(tmp_path / "two", None), SecretCipher(tmp_path, new_key())):
        with pytest.raises(
            DecryptionError, match=r"^grand-bend: .*restore that key, or .*rotate-secret grand-bend"
        ) as caught:
            cipher.decrypt(encrypted, "grand-bend")
        assert caught.value.__context__ is None
    assert not (tmp_path / "two").exists()


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    encrypted = SecretCipher(tmp_path, None).encrypt(SECRET)
    (tmp_path / "secret.key").chmod(0o644)
    with pytest.raises(DecryptionError, match=r"can be read by others \(mode 0644\); run: chmod 600"):
        SecretCipher(tmp_path, None).decrypt(encrypted, "grand-bend")


@pytest.mark.parametrize("method", ["read_text", "stat"])
def test_a_key_file_of_another_account_is_one_plain_line(tmp_path, monkeypatch, method):
    """Root, as whom tests may run, is refused nothing: so the refusal is played. Or the folder is refused."""
    cipher = SecretCipher(tmp_path, None)
    encrypted = cipher.encrypt(SECRET)

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, method, refuse)
    for use in (
        lambda: cipher.decrypt(encrypted, "grand-bend"),
        lambda: cipher.encrypt(SECRET),
        cipher.put_new_key_first,
    ):
        with pytest.raises(
            DecryptionError, match=r"secret.key cannot be read \(Permission denied\); .*chown"
        ):
            use()


@pytest.mark.parametrize("key", ["hunter2", "äöü", ",", f"{'A' * 44},"])
def test_what_is_no_key_is_refused_and_not_shown(tmp_path, key):
    with pytest.raises(
        DecryptionError, match="SAMEGOAL_SECRET_KEY_FILE contains an invalid key; make one with: python"
    ) as caught:
        SecretCipher(tmp_path, key).encrypt(SECRET)
    assert "hunter2" not in str(caught.value)
