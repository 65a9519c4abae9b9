"""Files are whole or absent, whatever happens in between."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import CorruptError, FormatError, StorageError
from xnn.files import (
    canonical_json,
    disk_errors,
    open_atomically,
    read_json,
    sha256_of_file,
    write_atomically,
    write_json,
)


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"one", mode=0o600)
    write_atomically(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert oct(path.stat().st_mode)[-3:] == "600"
    assert names(tmp_path) == {"a"}


def test_an_exception_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def stop_in_the_middle() -> None:
        with open_atomically(path) as file:
            file.write(b"new")
            file.flush()
            assert path.read_bytes() == b"old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_in_the_middle()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"a"}


WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from xnn.files import open_atomically

with open_atomically(Path(sys.argv[1])) as file:
    file.write(b"new" * 100000)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_leaves_the_old_file_and_does_not_block_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"old")
    command = [sys.executable, "-c", WRITE_AND_DIE, str(path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"a", "a.partial"}
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == {"a"}


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path, sizes, stop = tmp_path / "a", set(), threading.Event()
    write_atomically(path, b"x" * 100_000)

    def read() -> None:
        while not stop.is_set():
            sizes.add(len(path.read_bytes()))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        write_atomically(path, b"x" * 100_000)
    stop.set()
    reader.join()
    assert sizes == {100_000}


def test_a_full_disk_is_one_error_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"old")
    with largest_file(1000), pytest.raises(StorageError, match=r"cannot write 'a': File too large"):
        write_atomically(path, b"x" * 10_000)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"a"}


def test_the_mode_is_set_before_the_first_byte(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with open_atomically(tmp_path / "a", mode=0o600) as file:
            assert oct((tmp_path / "a.partial").stat().st_mode)[-3:] == "600"
            file.write(b"secret")
    finally:
        os.umask(before)
    assert oct((tmp_path / "a").stat().st_mode)[-3:] == "600"


def test_a_link_in_the_place_of_the_partial_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"mine")
    (tmp_path / "a.partial").symlink_to(tmp_path / "precious")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert (tmp_path / "a").read_bytes() == b"new"


def test_missing_folders_and_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write 'a': No such file"):
        write_atomically(tmp_path / "nowhere" / "a", b"")
    for read in (read_json, sha256_of_file):
        with pytest.raises(StorageError, match="cannot read 'a'"):
            read(tmp_path / "a")
    with pytest.raises(StorageError) as caught, disk_errors("do", tmp_path / "deep" / "name"):
        raise PermissionError(13, "Permission denied")
    assert "cannot do 'name': Permission denied" in str(caught.value)
    assert str(tmp_path) not in str(caught.value), "paths may name people"


def test_disk_errors_are_not_wrapped_twice(tmp_path: Path) -> None:
    inner = StorageError("once")
    with pytest.raises(StorageError) as caught, disk_errors("do", tmp_path):
        raise inner
    assert caught.value is inner


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of_file(tmp_path / "a") == expected


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers()))
def test_canonical_json_does_not_depend_on_order(value: dict[str, int]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert canonical_json(value) == canonical_json(backwards)
    assert json.loads(canonical_json(value)) == value


def test_canonical_json_is_pinned() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "é", "c": None}) == (
        '{"a":"é","b":[1,2.5],"c":null}'.encode()
    )
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical_json(bad)


def test_json_there_and_back(tmp_path: Path) -> None:
    value = {"ä": [1, 2.5, None, "x\n"], "b": {"c": True}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", CorruptError),
        (b'{"a": 1', CorruptError),
        (b"\xff\xfe{}", CorruptError),
        (b"[" * 100_000, CorruptError),
        (b"[1, 2]", FormatError),
        (b"null", FormatError),
    ],
)
def test_json_that_is_none(tmp_path: Path, content: bytes, error: type[Exception]) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(error, match=r"'a\.json'"):
        read_json(tmp_path / "a.json")


def test_json_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"a": "' + b"x" * 100 + b'"}')
    assert read_json(tmp_path / "a.json", limit_bytes=109)
    with pytest.raises(CorruptError, match="larger than 108 bytes"):
        read_json(tmp_path / "a.json", limit_bytes=108)
