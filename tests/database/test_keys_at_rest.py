"""Master key and vault: wrapping, rotation, and every way in which they do not open."""

import copy
import pickle
import stat
from pathlib import Path

import pytest
from sqlalchemy import text

from xnn.database import Database, MasterKey, Sealed, Vault, make_master_key, read_master_key
from xnn.errors import (
    ConfigError,
    CorruptError,
    KeyMismatchError,
    OutputExistsError,
    SecretLeakError,
    StorageError,
    XnnError,
)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XNN_MASTER_KEY", "XNN_MASTER_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_a_key_comes_from_file_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.key"
    key = make_master_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_master_key(path).master_id == key.master_id
    monkeypatch.setenv("XNN_MASTER_KEY", path.read_text())
    assert read_master_key().master_id == key.master_id
    other = make_master_key(tmp_path / "b.key")
    assert other.master_id != key.master_id
    monkeypatch.setenv("XNN_MASTER_KEY_FILE", str(tmp_path / "b.key"))
    assert read_master_key().master_id == other.master_id
    with pytest.raises(OutputExistsError, match="never overwritten"):
        make_master_key(path)


def test_what_is_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no master key"):
        read_master_key()
    with pytest.raises(StorageError, match="there is no master key 'absent'"):
        read_master_key(tmp_path / "absent")
    path = tmp_path / "a.key"
    for content in ("", "ab" * 31, "xy" * 32, "ab" * 33, "é" * 64):
        path.write_text(content)
        path.chmod(0o600)
        with pytest.raises(CorruptError, match="64 hexadecimal digits") as caught:
            read_master_key(path)
        assert not content or content not in str(caught.value)
    path.write_text("ab" * 32)
    path.chmod(0o640)
    with pytest.raises(StorageError, match=r"others may read .* \(mode 0640\)"):
        read_master_key(path)
    monkeypatch.setenv("XNN_MASTER_KEY", "ab" * 31)
    with pytest.raises(ConfigError, match="XNN_MASTER_KEY does not hold"):
        read_master_key()


def test_a_key_shows_nothing_and_is_not_carried_off(master_key: MasterKey, tmp_path: Path) -> None:
    digits = (tmp_path / "master.key").read_text().strip()
    assert repr(master_key) == f"MasterKey({master_key.master_id})"
    assert master_key.master_id not in digits
    assert digits not in str(vars(master_key))
    for carry in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(SecretLeakError):
            carry(master_key)


def seal(database: Database, vault: Vault, content: bytes = b"content") -> Sealed:
    with database.writing() as connection:
        vault.refresh(connection)
        return vault.seal(content, b"bound")


def unseal(database: Database, vault: Vault, value: Sealed, bound: bytes = b"bound") -> bytes:
    with database.reading() as connection:
        return vault.unseal(connection, value, bound)


def test_round_trip_and_a_nonce_for_each(database: Database, master_key: MasterKey) -> None:
    vault = Vault(database, master_key)
    first, second = seal(database, vault), seal(database, vault)
    assert first.data_key_id == second.data_key_id
    assert first.nonce != second.nonce
    assert first.sealed != second.sealed
    again = Vault(database, master_key)
    assert [unseal(database, again, value) for value in (first, second)] == [b"content"] * 2


def test_what_was_altered_does_not_open(database: Database, master_key: MasterKey) -> None:
    vault = Vault(database, master_key)
    value = seal(database, vault)
    flipped = bytes([value.sealed[0] ^ 1]) + value.sealed[1:]
    bad = [
        Sealed(value.data_key_id, value.nonce, flipped),
        Sealed(value.data_key_id, bytes(12), value.sealed),
        Sealed(value.data_key_id, b"", value.sealed),
        Sealed(value.data_key_id, value.nonce, b""),
        Sealed("0" * 16, value.nonce, value.sealed),
    ]
    for altered in bad:
        with pytest.raises(CorruptError, match="altered or moved"):
            unseal(database, vault, altered)
    with pytest.raises(CorruptError, match="altered or moved"):
        unseal(database, vault, value, b"another row")
    assert unseal(database, vault, value) == b"content"


def test_another_master_key_opens_nothing(
    database: Database, master_key: MasterKey, tmp_path: Path
) -> None:
    Vault(database, master_key)
    other = make_master_key(tmp_path / "other.key")
    with pytest.raises(KeyMismatchError, match=f"which needs {master_key.master_id}"):
        Vault(database, other)


def test_an_altered_data_key_is_told_from_a_wrong_master_key(
    database: Database, master_key: MasterKey
) -> None:
    Vault(database, master_key)
    with database.writing() as connection:
        connection.execute(text("UPDATE data_keys SET wrapped = zeroblob(48)"))
    with pytest.raises(CorruptError, match="a data key of the gallery was altered"):
        Vault(database, master_key)


def test_rotation_of_the_master_key(
    database: Database, master_key: MasterKey, tmp_path: Path
) -> None:
    vault = Vault(database, master_key)
    value, pseudonyms = seal(database, vault), vault.pseudonym_key()
    with database.reading() as connection:
        old = connection.execute(text("SELECT wrapped FROM data_keys")).scalars().all()
    replacement = make_master_key(tmp_path / "new.key")
    assert vault.rewrap(replacement) == 2
    assert unseal(database, vault, value) == b"content"
    held = b"".join(path.read_bytes() for path in tmp_path.glob("service.db*"))
    assert not [wrapped for wrapped in old if bytes(wrapped) in held], "nothing of the old wrapping"
    with pytest.raises(KeyMismatchError):
        Vault(database, master_key)
    opened = Vault(database, replacement)
    assert unseal(database, opened, value) == b"content"
    assert opened.pseudonym_key() == pseudonyms


def test_a_data_key_of_another_process_is_taken_up(
    database: Database, master_key: MasterKey
) -> None:
    first, second = Vault(database, master_key), Vault(database, master_key)
    old = seal(database, second)
    fresh = first.begin_data_key()
    assert first.begin_data_key() == fresh, "an interrupted rotation goes on with its key"
    value = seal(database, first)
    assert value.data_key_id == fresh != old.data_key_id
    assert unseal(database, second, value) == b"content"
    assert seal(database, second).data_key_id == fresh
    assert first.destroy_idle_keys() == 1
    assert first.destroy_idle_keys() == 0
    with pytest.raises(CorruptError):
        unseal(database, Vault(database, master_key), old)


def test_errors_tell_no_key(database: Database, master_key: MasterKey, tmp_path: Path) -> None:
    vault = Vault(database, master_key)
    secrets = [*vault._keys.values(), bytes.fromhex((tmp_path / "master.key").read_text())]
    with pytest.raises(XnnError) as caught:
        Vault(database, make_master_key(tmp_path / "other.key"))
    shown = f"{caught.value!r} {vault!r} {database!r}"
    assert not [s for s in secrets if s.hex() in shown or repr(s)[2:-1] in shown]
