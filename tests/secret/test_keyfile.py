"""The sealed file: mode, passphrase, tampering, exposure, destruction."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xnn.errors import (
    ConfigError,
    CorruptError,
    FormatError,
    OutputExistsError,
    PassphraseError,
    StorageError,
    VersionError,
    XnnError,
)
from xnn.secret import KeyFile, SecretKey, destroy_key, read_key_info
from xnn.secret.raw_key_access import TOKEN, export_root

PASSPHRASE = "correct horse"  # as in conftest


def test_round_trip_mode_and_redaction(keyfile: KeyFile) -> None:
    opened = KeyFile.open(keyfile.path, PASSPHRASE)
    root = export_root(keyfile.key, TOKEN)
    assert export_root(opened.key, TOKEN) == root
    assert opened.key.key_id == keyfile.key.key_id
    assert opened.extractor == {"name": "tiny"}
    assert stat.S_IMODE(keyfile.path.stat().st_mode) == 0o600
    content = keyfile.path.read_bytes()
    assert root not in content
    assert root.hex().encode() not in content


def test_wrong_passphrase(keyfile: KeyFile) -> None:
    with pytest.raises(PassphraseError, match="passphrase is wrong"):
        KeyFile.open(keyfile.path, "incorrect horse")
    with pytest.raises(ConfigError, match="has 5 characters"):
        KeyFile.open(keyfile.path, "horse")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_bit_or_cut_is_noticed(keyfile: KeyFile, data: st.DataObject) -> None:
    good = keyfile.path.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    bit = data.draw(st.integers(0, 6))
    bad = good[:place] + bytes([good[place] ^ (1 << bit)]) + good[place + 1 :]
    if data.draw(st.booleans()):
        bad = good[:place]
    try:
        same = json.loads(bad) == json.loads(good)
    except ValueError:
        same = False
    keyfile.path.write_bytes(bad)
    try:
        if same:  # white space only
            KeyFile.open(keyfile.path, PASSPHRASE)
        else:
            with pytest.raises(XnnError):
                KeyFile.open(keyfile.path, PASSPHRASE)
    finally:
        keyfile.path.write_bytes(good)


def test_a_changed_scope_or_counter_is_noticed(keyfile: KeyFile) -> None:
    content = json.loads(keyfile.path.read_text())
    content["exposures"] = {}
    content["scope"]["dataset"] = "mine"
    keyfile.path.write_text(json.dumps(content))
    with pytest.raises(PassphraseError, match="altered"):
        KeyFile.open(keyfile.path, PASSPHRASE)
    with pytest.raises(PassphraseError, match="altered"):
        keyfile.count_exposure("upload", 1)


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (b"", CorruptError, "not valid JSON"),
        (b"[1]", FormatError, "expected an object"),
        (b"{}", FormatError, "not a key file"),
        (b'{"format": "xnn-key", "version": 99}', VersionError, "99, this program reads 1"),
        (b'{"format": "xnn-key", "version": 1}', CorruptError, "malformed"),
    ],
)
def test_files_that_are_not_keys(
    tmp_path: Path, content: bytes, error: type[XnnError], text: str
) -> None:
    path = tmp_path / "odd.key"
    path.write_bytes(content)
    with pytest.raises(error, match=text):
        KeyFile.open(path, PASSPHRASE)


def test_a_hostile_file_cannot_ask_for_much_memory(keyfile: KeyFile) -> None:
    content = json.loads(keyfile.path.read_text())
    content["stretching"]["log2_n"] = 40
    keyfile.path.write_text(json.dumps(content))
    with pytest.raises(CorruptError, match="log2_n"):
        KeyFile.open(keyfile.path, PASSPHRASE)


def test_missing_file_and_no_overwriting(keyfile: KeyFile, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no key file"):
        read_key_info(tmp_path / "absent.key")
    key = SecretKey.generate(keyfile.key.scope)
    with pytest.raises(OutputExistsError, match="never overwritten"):
        KeyFile.create(keyfile.path, key, PASSPHRASE, extractor={}, log2_n=10)


def test_exposure_counts_each_upload_once(keyfile: KeyFile) -> None:
    for upload, num_records in (("a", 100), ("a", 100), ("b", 7), ("a", 50)):
        keyfile.count_exposure(upload, num_records)
    assert read_key_info(keyfile.path).num_records == 107
    assert KeyFile.open(keyfile.path, PASSPHRASE).key.key_id == keyfile.key.key_id
    assert stat.S_IMODE(keyfile.path.stat().st_mode) == 0o600


def test_exposures_counted_at_once_are_not_lost(keyfile: KeyFile) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: keyfile.count_exposure(f"upload {i}", 1), range(12)))
    assert read_key_info(keyfile.path).num_records == 12


def test_destroy_removes_the_file(keyfile: KeyFile) -> None:
    descriptor = os.open(keyfile.path, os.O_RDONLY)
    before = os.pread(descriptor, 1 << 16, 0)
    assert destroy_key(keyfile.path) == keyfile.key.key_id
    assert not keyfile.path.exists()
    after = os.pread(descriptor, 1 << 16, 0)
    os.close(descriptor)
    assert len(after) == len(before)
    assert b"sealed" not in after


def test_destroy_refuses_what_is_not_a_key(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("{}")
    with pytest.raises(FormatError):
        destroy_key(path)
    assert path.exists()
