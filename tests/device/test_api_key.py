"""API keys: where they come from, who may read them, where they never show."""

import base64
import copy
import pickle
from pathlib import Path

import pytest

from xnn.device.api_key import ApiKey, read_api_key
from xnn.errors import AccessError, SecretLeakError, StorageError
from xnn.wire.authenticity import mac_key

SECRET = bytes(range(32))
TEXT = "xnn_0123456789ab_" + base64.urlsafe_b64encode(SECRET).decode().rstrip("=")


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "device.key"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_key_gives_its_header_and_the_key_of_the_tags() -> None:
    key = ApiKey(TEXT)
    assert key.name == "0123456789ab"
    assert key.authorization == f"Bearer {TEXT}"
    assert key.mac_key == mac_key(SECRET)


def test_a_key_shows_and_copies_nothing() -> None:
    key = ApiKey(TEXT)
    assert TEXT[17:] not in repr(key)
    assert TEXT[17:] not in str(key)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(SecretLeakError):
            leak(key)


@pytest.mark.parametrize(
    "text", ["", "secret", TEXT[:-1], TEXT + "A", TEXT.upper(), TEXT.replace("xnn_", "key_")]
)
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(AccessError, match=f"no API key: {len(text)} characters") as e:
        ApiKey(text)
    assert not text or text not in str(e.value)


def test_the_environment_and_a_file_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XNN_API_KEY", TEXT)
    assert read_api_key().name == "0123456789ab"
    other = TEXT.replace("0123456789ab", "ba9876543210")
    assert read_api_key(written(tmp_path, f"{other}\n")).name == "ba9876543210"
    monkeypatch.delenv("XNN_API_KEY")
    with pytest.raises(AccessError, match="set XNN_API_KEY, or name a file"):
        read_api_key()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(AccessError, match=rf"mode {mode:03o}\); run chmod 600"):
        read_api_key(written(tmp_path, TEXT, mode))


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read the API key 'missing.key'"):
        read_api_key(tmp_path / "missing.key")
    with pytest.raises(AccessError, match="no API key: 4096 characters"):
        read_api_key(written(tmp_path, "ä" * 5000))


def test_a_secret_has_one_text_only() -> None:
    with pytest.raises(AccessError, match="last character was altered"):
        ApiKey(TEXT[:-1] + chr(ord(TEXT[-1]) + 1))
