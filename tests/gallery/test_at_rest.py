"""What is in the files: no vector, and nothing of what was erased; and what alterations do."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from xnn.database import make_master_key
from xnn.errors import BusyError, CorruptError, KeyMismatchError
from xnn.gallery import open_gallery
from xnn.gallery.rotation import seal_anew

BUNDLE = "ab" * 32


def rid(number: int) -> str:
    return f"{number:032x}"


def bytes_of(path: Path) -> bytes:
    """All files of the database: the main one, the log and its index."""
    return b"".join(p.read_bytes() for p in sorted(path.parent.glob(path.name + "*")))


def rows(gallery, template_ids=None):
    with gallery.database.reading() as connection:
        found = connection.execute(text("SELECT template_id, nonce, sealed FROM templates")).all()
    return {
        row.template_id: (bytes(row.nonce), bytes(row.sealed))
        for row in found
        if template_ids is None or row.template_id in template_ids
    }


def enrol(gallery, draw, name: str, count: int = 3, seed: int = 0, number: int = 0):
    return gallery.enrol(
        "t",
        name,
        draw(count, width=512, seed=seed),
        bundle_id=BUNDLE,
        request_id=rid(number),
        create=True,
    )


def pieces(secret: bytes, size: int = 16) -> list[bytes]:
    """Short runs of a value from its beginning, middle and end: a torn copy counts too."""
    return [secret[p : p + size] for p in range(0, len(secret) - size, 97)] + [secret[-size:]]


def test_no_vector_is_in_any_file(gallery, path: Path, draw) -> None:
    enrol(gallery, draw, "anna")
    content = bytes_of(path)
    assert b"anna" in content
    vectors = draw(3, width=512)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for values in (vectors, units):
        for kind in ("<f4", "<f2", "<f8"):
            for row in values.astype(kind):
                assert not [p for p in pieces(row.tobytes(), 8) if p in content]


@pytest.mark.parametrize("how", ["subject", "template", "retire", "rotate"])
def test_nothing_of_an_erased_row_stays_in_any_file(gallery, path: Path, draw, how: str) -> None:
    for number in range(12):
        enrol(gallery, draw, f"s{number}", seed=number, number=number)
    victims = [info.template_id for n in (3, 7) for info in gallery.templates("t", f"s{n}")]
    before = rows(gallery)
    gone = {i: before[i] for i in victims}
    content = bytes_of(path)
    for nonce, sealed in gone.values():
        assert nonce in content
        assert all(piece in content for piece in pieces(sealed)[:1])
    if how == "subject":
        for name in ("s3", "s7"):
            gallery.delete_subject("t", name)
    elif how == "template":
        for template_id in victims:
            gallery.erase_template("t", template_id)
    elif how == "retire":
        gone = before
        gallery.retire("t", bundle_id=BUNDLE)
    else:
        gone = before
        assert seal_anew(gallery.database, gallery.vault) == 36
        assert len(rows(gallery)) == 36
    content = bytes_of(path)
    for nonce, sealed in gone.values():
        assert nonce not in content
        assert not [piece for piece in pieces(sealed) if piece in content]
    for template_id, (nonce, _) in rows(gallery).items():
        assert nonce in content, template_id


ERASE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from xnn.database import read_master_key
from xnn.database.connect import Database
from xnn.gallery import open_gallery

gallery = open_gallery(sys.argv[1], read_master_key(Path(sys.argv[2])))
Database.scrub = lambda self: os.kill(os.getpid(), signal.SIGKILL)
gallery.delete_subject("t", "s1")
"""


def test_a_kill_between_erasure_and_scrubbing_is_made_good_when_opened(
    path: Path, tmp_path: Path, draw
) -> None:
    key_path = tmp_path / "own.key"
    key = make_master_key(key_path)
    gallery = open_gallery(str(path), key)
    for number in range(3):
        enrol(gallery, draw, f"s{number}", seed=number, number=number)
    gone = rows(gallery, {info.template_id for info in gallery.templates("t", "s1")})
    gallery.close()
    done = subprocess.run(
        [sys.executable, "-c", ERASE_AND_DIE, str(path), str(key_path)],
        env=os.environ,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    gallery = open_gallery(str(path), key)
    assert gallery.subjects("t") == ["s0", "s2"]
    content = bytes_of(path)
    for nonce, sealed in gone.values():
        assert nonce not in content
        assert not [piece for piece in pieces(sealed) if piece in content]
    gallery.close()


def test_another_master_key_is_refused(gallery, path: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyMismatchError, match="does not open the gallery"):
        open_gallery(str(path), make_master_key(tmp_path / "other.key"))


ALTERATIONS = {
    "sealed": "UPDATE templates SET sealed = zeroblob(length(sealed)) WHERE subject_id = 's1'",
    "moved": "UPDATE templates SET subject_id = 's0' WHERE subject_id = 's1'",
    "bundle": "UPDATE templates SET bundle_id = 'other' WHERE subject_id = 's1'",
    "tenant": "INSERT INTO subjects VALUES ('u', 's1', 0); "
    "UPDATE templates SET tenant = 'u' WHERE subject_id = 's1'",
    "swapped": "UPDATE templates SET (nonce, sealed) = "
    "(SELECT nonce, sealed FROM templates WHERE subject_id = 's0') WHERE subject_id = 's1'",
    "emptied": "UPDATE templates SET sealed = NULL WHERE subject_id = 's1'",
}


@pytest.mark.parametrize("how", ALTERATIONS)
def test_a_row_that_was_altered_does_not_open(gallery, reopen, path: Path, draw, how: str) -> None:
    for number in range(2):
        enrol(gallery, draw, f"s{number}", count=1, seed=number, number=number)
    gallery.close()
    with sqlite3.connect(path) as connection:
        connection.executescript(ALTERATIONS[how])
    connection.close()
    with pytest.raises(CorruptError, match="restore") as caught:
        reopen()
    assert "\n" not in str(caught.value)


def test_a_failed_enrolment_leaves_index_and_file_as_they_were(gallery, draw, monkeypatch) -> None:
    enrol(gallery, draw, "a", count=1)
    from xnn.gallery import records

    def fail(*_: object, **__: object) -> None:
        raise BusyError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(records, "remember_request", fail)  # the last step before the commit
        with pytest.raises(BusyError):
            enrol(gallery, draw, "b", seed=1, number=1)
    assert gallery.count("t") == (1, 1)
    (found,) = gallery.search("t", draw(1, width=512, seed=1), bundle_id=BUNDLE, top_k=5)
    assert [c.subject_id for c in found] == ["a"]
    assert len(enrol(gallery, draw, "b", seed=1, number=1)) == 3


def test_half_read_changes_are_read_again(gallery, reopen, draw) -> None:
    """A row that does not open stops the reading half-way; nothing is then counted twice."""
    other = reopen()
    enrol(gallery, draw, "a", count=2)
    enrol(gallery, draw, "b", count=1, seed=1, number=1)
    with gallery.database.writing() as connection:
        bad = "UPDATE templates SET nonce = zeroblob(12) WHERE subject_id = 'b'"
        good = connection.execute(text("SELECT nonce FROM templates WHERE subject_id = 'b'")).one()
        connection.execute(text(bad))
    for _ in range(2):
        with pytest.raises(CorruptError):
            other.search("t", draw(1, width=512), bundle_id=BUNDLE, top_k=5)
    with gallery.database.writing() as connection:
        connection.execute(
            text("UPDATE templates SET nonce = :nonce WHERE subject_id = 'b'"), {"nonce": good[0]}
        )
    (found,) = other.search("t", draw(1, width=512), bundle_id=BUNDLE, top_k=5)
    assert [c.subject_id for c in found] == ["a", "b"]
    assert sum(len(index) for index in other._keeper._indexes.values()) == 3
