"""`xnn gallery` and `xnn account` from the first key to the last export."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from xnn.accounts import Accounts
from xnn.database import open_database, read_master_key
from xnn.gallery import open_gallery

BUNDLE = "ab" * 32


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xnn) -> Path:
    """A folder with a master key, and a gallery of three subjects."""
    monkeypatch.setenv("XNN_GALLERY", str(tmp_path / "gallery.db"))
    monkeypatch.setenv("XNN_MASTER_KEY_FILE", str(tmp_path / "master.key"))
    monkeypatch.delenv("XNN_MASTER_KEY", raising=False)
    assert len(xnn("gallery", "key", tmp_path / "master.key").result["master_id"]) == 16
    gallery = open_gallery(str(tmp_path / "gallery.db"), read_master_key())
    vectors = np.random.default_rng(0).normal(size=(3, 2, 8)).astype(np.float32)
    for number, rows in enumerate(vectors):
        request = f"{number:032x}"
        gallery.enrol(
            "default",
            f"s{number}",  # type: ignore[arg-type]
            rows,
            bundle_id=BUNDLE,
            request_id=request,
            create=True,
        )
    gallery.close()
    return tmp_path


def test_contents_and_erasure(place: Path, xnn) -> None:
    assert stat.S_IMODE((place / "master.key").stat().st_mode) == 0o600
    shown = xnn("gallery", "show").result
    assert (shown["subjects"], shown["templates"], shown["vectors"]) == (3, 6, "sealed")
    listed = xnn("gallery", "list", "--after", "s0").result["subjects"]
    assert listed == [{"subject_id": "s1", "templates": 2}, {"subject_id": "s2", "templates": 2}]
    assert "nothing was erased" in xnn("gallery", "erase", "s1").error
    erased = xnn("gallery", "erase", "s1", "--yes").result
    assert erased == {"subject_id": "s1", "templates_erased": 2}
    assert "no such subject" in xnn("gallery", "erase", "s1", "--yes").error
    assert xnn("gallery", "show", "--tenant", "other").result["templates"] == 0


def test_rotation_and_the_wrong_key_after_it(place: Path, xnn, monkeypatch) -> None:
    assert "nothing to rotate" in xnn("gallery", "rotate").error
    new = place / "new.key"
    result = xnn("gallery", "rotate", "--new-master-key", new, "--templates").result
    assert result["templates_sealed"] == 6
    assert "does not open the gallery" in xnn("gallery", "show").error
    assert xnn("gallery", "show", "--master-key", new).result["templates"] == 6


def test_retirement(place: Path, xnn) -> None:
    assert "nothing to retire" in xnn("gallery", "retire", "--yes").error
    result = xnn("gallery", "retire", "--bundle-id", BUNDLE, "--yes").result
    assert result["enrol_again"] == ["s0", "s1", "s2"]
    assert xnn("gallery", "show").result["templates"] == 0


def test_a_copy_in_another_database(place: Path, xnn) -> None:
    out = place / "export.xnn"
    assert xnn("gallery", "export", out).result["templates"] == 6
    assert "export into a new file" in xnn("gallery", "export", out).error
    target = ["--gallery", place / "other.db"]
    assert (
        "holds templates of bundle"
        in xnn("gallery", "import", out, *target, "--bundle-id", "x").error
    )
    result = xnn("gallery", "import", out, *target, "--bundle-id", BUNDLE).result
    assert (result["stored"], result["bundle_ids"]) == (6, [BUNDLE])
    assert xnn("gallery", "import", out, *target).result["stored"] == 0
    assert xnn("gallery", "show", *target).result["subjects"] == 3


def test_keys_are_shown_once(place: Path, xnn) -> None:
    made = xnn("account", "new", "--role", "enrol", "--role", "search", "--label", "door")
    text = made.result["api_key"]
    assert "the only time" in made.stderr
    database = open_database(str(place / "gallery.db"))
    accounts = Accounts(database)
    assert accounts.authenticate(text).roles == {"enrol", "search"}
    listed = xnn("account", "list")
    assert text[17:] not in listed.stdout
    (key,) = listed.result["keys"]
    assert (key["label"], key["revoked_ms"]) == ("door", None)
    assert xnn("account", "revoke", key["name"]).result["revoked_ms"] is not None
    assert accounts.num_active() == 0
    database.close()
    assert "no such API key" in xnn("account", "revoke", "0" * 12).error
    assert "at least one of enrol" in xnn("account", "new", "--role", "root").error


def test_the_log_names_the_operator_and_no_subject(place: Path, xnn) -> None:
    xnn("account", "new", "--role", "admin")
    xnn("gallery", "erase", "s1", "--yes")
    entries = xnn("account", "log").result["entries"]
    assert [e["action"] for e in entries] == ["key.create", "subject.delete"]
    assert {e["actor"] for e in entries} == {"operator"}
    assert "s1" not in json.dumps(entries[1]["subject"])
    end = xnn("account", "check-log").result["end"]
    xnn("account", "new", "--role", "search")
    assert xnn("account", "check-log", "--kept", end).result["entries"] == 3
    wrong = end[:-1] + ("0" if end[-1] != "0" else "1")
    assert "written anew" in xnn("account", "check-log", "--kept", wrong).error
    assert "not NUMBER:DIGEST" in xnn("account", "check-log", "--kept", "x").error


def test_what_is_missing_is_said(place: Path, xnn, monkeypatch) -> None:
    assert "there is no gallery" in xnn("account", "list", "--gallery", place / "absent").error
    monkeypatch.delenv("XNN_MASTER_KEY_FILE")
    assert "no master key" in xnn("gallery", "show").error
    monkeypatch.delenv("XNN_GALLERY")
    outcome = xnn("account", "list")
    assert outcome.status == 2
    assert "--gallery" in outcome.stderr
    assert "never overwritten" in xnn("gallery", "key", place / "master.key").error
