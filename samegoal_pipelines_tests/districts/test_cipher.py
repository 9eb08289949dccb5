"""Client secrets at rest, and `districts rotate-key`: a new key for every secret, and none is lost."""

import errno
import multiprocessing
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken

from samegoal_pipelines.districts import registry as registry_module
from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.districts.errors import DecryptionError, LostKeyError
from samegoal_pipelines.districts.registry import Registry
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines_tests.warehouse.factories import rows

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
    missing = SecretCipher(tmp_path / "two", None)
    for cipher, error in ((missing, DecryptionError), (SecretCipher(tmp_path, new_key()), LostKeyError)):
        with pytest.raises(
            error, match=r"^grand-bend: .*restore that key, or .*rotate-secret grand-bend"
        ) as caught:
            cipher.decrypt(encrypted, "grand-bend")
        assert type(caught.value) is error  # a rotation only skips the secrets of a lost key
        assert caught.value.__context__ is None
    missing.drop(["key"])
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_file_that_others_can_read_is_refused(tmp_path, mode):
    encrypted = SecretCipher(tmp_path, None).encrypt(SECRET)
    (tmp_path / "secret.key").chmod(mode)
    with pytest.raises(DecryptionError, match=rf"can be read by others \(mode {mode:04o}\); run: chmod 600"):
        SecretCipher(tmp_path, None).decrypt(encrypted, "grand-bend")


def test_the_key_file_keeps_its_owner_if_root_changes_it(tmp_path, monkeypatch):
    cipher = SecretCipher(tmp_path, None)
    cipher.encrypt(SECRET)
    owner, given = (tmp_path / "secret.key").stat(), Mock()
    monkeypatch.setattr(os, "geteuid", lambda: owner.st_uid + 1)
    monkeypatch.setattr(os, "chown", given)
    cipher.put_new_key_first()
    assert given.call_args.args[1:] == (owner.st_uid, owner.st_gid)


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


# -- a new key --

SECRETS = {one: f"secret of {one}" for one in ("alpha", "beta", "gamma")}
KILLED = 9


def register(registry: Registry, **secrets: str) -> Registry:
    for one, secret in secrets.items():
        facts = {"id": one, "name": one, "client_key": "key", "client_secret": secret}
        registry.add(**facts, base_url=f"https://{one}.example.org/API")
    return registry


@pytest.fixture
def again(warehouse: sa.Engine, tmp_path: Path) -> Callable[[], Registry]:
    """The registry of three districts, as each process makes it for itself."""
    register(Registry(warehouse, SecretCipher(tmp_path, None)), **SECRETS)
    return lambda: Registry(warehouse, SecretCipher(tmp_path, None))


def opened(registry: Registry) -> dict[str, str]:
    return {one.id: registry.connection(one).client_secret.get_secret_value() for one in registry.list()}


def encrypted_secrets(engine: sa.Engine) -> dict[str, bytes]:
    found = rows(engine, "select district_id, encrypted_secret from samegoal.district_credentials")
    return {district_id: bytes(secret) for district_id, secret in found}


def test_a_new_key_is_made_in_the_file_and_the_old_one_opens_nothing(again, warehouse, tmp_path):
    file = tmp_path / "secret.key"
    old, before = file.read_text(), encrypted_secrets(warehouse)
    assert again().rotate_key() == (3, [])
    assert opened(again()) == SECRETS
    assert old.strip() not in file.read_text()
    assert len(file.read_text().split()) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["secret.key"]
    for district_id, secret in encrypted_secrets(warehouse).items():
        assert secret != before[district_id]
        with pytest.raises(InvalidToken):
            Fernet(old.strip()).decrypt(secret)


def test_a_process_that_was_there_before_goes_on_with_the_new_key(again):
    """The daemon lives for months."""
    daemon = again()
    assert opened(daemon) == SECRETS
    again().rotate_key()
    assert opened(daemon) == SECRETS
    register(daemon, delta="new")
    assert opened(again()) == SECRETS | {"delta": "new"}


def test_a_key_that_is_rotated_while_a_secret_is_being_opened_does_no_harm(again, monkeypatch):
    daemon = again()
    looked_up = daemon._stored_credentials

    def and_then_the_key_goes(district_id: str) -> Any:
        found = looked_up(district_id)
        monkeypatch.undo()
        again().rotate_key()
        return found

    monkeypatch.setattr(daemon, "_stored_credentials", and_then_the_key_goes)
    assert opened(daemon) == SECRETS


@pytest.mark.parametrize("content", [b"hunter2\n", b"\xff\xfe"], ids=["no key", "no text"])
def test_keys_that_are_none_are_refused_before_anything_changes(again, warehouse, tmp_path, content):
    before = encrypted_secrets(warehouse)
    (tmp_path / "secret.key").write_bytes(content)
    with pytest.raises(DecryptionError, match="contains an invalid key"):
        again().rotate_key()
    assert (tmp_path / "secret.key").read_bytes() == content
    assert encrypted_secrets(warehouse) == before


@pytest.mark.parametrize("failing", range(1, 10))
@pytest.mark.parametrize("why", [errno.EIO, errno.ENOENT])
def test_a_key_file_that_cannot_be_read_for_a_moment_costs_no_secret(again, monkeypatch, failing, why):
    """As on a network drive. The key of a secret that was skipped must not be removed."""
    read, moments = Path.read_text, iter(range(1, 10))

    def read_text(file: Path) -> str:
        if next(moments) == failing:
            raise OSError(why, os.strerror(why))
        return read(file)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_text", read_text)
        with pytest.raises(DecryptionError, match="cannot be read"):
            again().rotate_key()
    assert opened(again()) == SECRETS


def test_a_key_file_that_is_a_link_stays_one(warehouse, tmp_path):
    """As where an orchestrator mounts it."""
    home, mounted = tmp_path / "home", tmp_path / "mounted.key"
    home.mkdir()
    mounted.touch(0o600)
    mounted.write_text(new_key())
    (home / "secret.key").symlink_to(mounted)
    linked = register(Registry(warehouse, SecretCipher(home, None)), alpha="secret")
    linked.rotate_key()
    assert (home / "secret.key").is_symlink()
    assert opened(linked) == {"alpha": "secret"}


# -- killed --


def _rotate_until_killed(url: str, home: Path, kill_before: int) -> None:
    """Runs in a process of its own, which ends without a word before its n-th step into the outside."""
    steps = 0

    def counted(function: Any) -> Any:
        def step(*arguments: Any, **named: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == kill_before:
                os._exit(KILLED)
            return function(*arguments, **named)

        return step

    for where, name in ((os, "open"), (os, "fsync"), (Path, "replace"), (Path, "unlink")):
        setattr(where, name, counted(getattr(where, name)))
    engine = warehouse_engine.connect(url)
    for event in ("before_cursor_execute", "commit"):
        sa.event.listen(engine, event, counted(lambda *_: None))
    Registry(engine, SecretCipher(home, None)).rotate_key()
    os._exit(0)


def test_killed_at_any_moment_every_secret_opens_and_the_next_rotation_finishes(again, warehouse, tmp_path):
    file, keys = tmp_path / "secret.key", set()
    url = warehouse.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("fork")
    warehouse.dispose()
    moments = 0
    while True:
        moments += 1
        child = context.Process(target=_rotate_until_killed, args=(url, tmp_path, moments))
        child.start()
        child.join(60)
        assert child.exitcode in (0, KILLED)
        assert opened(again()) == SECRETS, moments
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        keys |= set(file.read_text().split())
        if child.exitcode == 0:
            break
    assert moments > 20
    assert len(file.read_text().split()) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["secret.key"]
    assert len(keys) > 10


@pytest.mark.parametrize("killed", [False, True], ids=["done", "killed before it encrypts anything"])
def test_two_rotations_at_once_lose_nothing(again, tmp_path, monkeypatch, killed):
    """The second begins and ends while the first has committed everything but still has its old keys."""
    changing, steps = registry_module.changing, []

    def after_another(engine: sa.Engine, district_id: str, step: str) -> Any:
        steps.append(step)
        if steps == ["encrypting the secrets again", "dropping the old keys"]:
            if killed:
                SecretCipher(tmp_path, None).put_new_key_first()
            else:
                again().rotate_key()
        return changing(engine, district_id, step)

    monkeypatch.setattr(registry_module, "changing", after_another)
    again().rotate_key()

    assert len(steps) == (2 if killed else 4)
    assert opened(again()) == SECRETS
    assert len((tmp_path / "secret.key").read_text().split()) == 1 + killed
