"""Flow A on the command line: every step prints JSON when piped, and takes what the last one left.

The commands run in this process; one at the end runs as a user would start it.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def test_from_faces_to_a_tested_tail(xnn, crops: Path, tmp_path: Path) -> None:
    faces, key, shards = tmp_path / "faces.csv", tmp_path / "owner.key", tmp_path / "shards"
    split = xnn(
        *("faces", "split", crops, faces, "--test-subjects", 2, "--val-subjects", 2),
        *("--images-per-test-subject", 3),
    ).result
    sizes = {row["split"]: (row["subjects"], row["images"]) for row in split["splits"]}
    assert sizes["test_by_person"] == (2, 6)
    assert sizes["val"] == (2, 10)
    assert sizes["train"][1] + sizes["test_by_image"][1] == 10
    assert split["dropped_images"] == 30 - 26

    outcome = xnn("key", "new", key, "--dataset", "orl", "--scheme", "paper")
    assert "were enough to link records to people" in outcome.stderr
    made = outcome.result
    assert (made["n"], made["d"], made["scheme"]) == (16, 256, "paper")
    assert made["records_made"] == 0
    assert oct(key.stat().st_mode)[-3:] == "600"

    planned = xnn("shard", "build", faces, "--key", key, "--out", shards, "--dry-run").result
    assert planned["records"] == sizes["train"][1] + sizes["val"][1]
    assert not shards.exists()
    built = xnn("shard", "build", faces, "--key", key, "--out", shards, "--mirror").result
    assert built["train_records"] == 2 * sizes["train"][1]
    assert built["val_records"] == 10
    assert built["key_id"] == made["key_id"]
    assert xnn("shard", "show", shards).result == built
    assert xnn("shard", "verify", shards).result == built | {"verified": True}

    run = tmp_path / "run"
    trained = xnn("train", shards, "--out", run, "--preset", "tiny", "--epochs", 2).result
    assert trained["key_id"] == made["key_id"]
    assert trained["ended"] == "finished"
    assert 0.0 <= trained["val_rank_1"] <= 1.0
    assert Path(trained["bundle"]) == run / "bundle"

    tested = xnn("eval", run / "bundle", faces, "--key", key).result
    by_person = {r["metric"]: r for r in tested["rows"] if r["protocol"] == "by_person"}
    assert by_person["rank_1"]["subjects"] == 2
    assert by_person["rank_1"]["probes"] == 4
    assert by_person["rank_1"]["low"] <= by_person["rank_1"]["value"] <= by_person["rank_1"]["high"]
    assert by_person["rank_1"]["chance"] == 0.5

    shown = xnn("key", "show", key).result
    assert shown["records_made"] == built["train_records"] + built["val_records"]
    assert shown["uploads"] == 1

    default = xnn("key", "new", tmp_path / "default.key", "--dataset", "orl")
    assert default.result["scheme"] == "pooled-noise-4-by-2"
    assert not default.stderr
    named = ("--dataset", "orl", "--scheme", "pooled-noise-6")
    new = xnn("key", "new", tmp_path / "new.key", *named).result
    refused = xnn(
        *("shard", "rekey", shards, "--from", key, "--to", tmp_path / "default.key"),
        *("--out", tmp_path / "moved"),
    )
    assert "allows 2 photographs in a class" in refused.error
    moved = xnn(
        *("shard", "rekey", shards, "--from", key, "--to", tmp_path / "new.key"),
        *("--out", tmp_path / "moved"),
    ).result
    assert moved["key_id"] == new["key_id"] != made["key_id"]
    assert moved["train_records"] == built["train_records"]
    assert xnn("shard", "verify", tmp_path / "moved").result["verified"]
    third = xnn("key", "new", tmp_path / "third.key", *named).result
    turned = xnn(
        *("shard", "rekey", tmp_path / "moved", "--from", tmp_path / "new.key"),
        *("--to", tmp_path / "third.key", "--out", tmp_path / "turned"),
    ).result
    assert turned["key_id"] == third["key_id"] != new["key_id"]
    assert xnn("shard", "verify", tmp_path / "turned").result["verified"]
    refused = xnn(
        *("shard", "rekey", tmp_path / "moved", "--from", tmp_path / "new.key"),
        *("--to", key, "--out", tmp_path / "back"),
    )
    assert "can only be re-keyed to that scheme" in refused.error

    copied = xnn("key", "export", key, tmp_path / "copy.key").result
    assert copied["raw"] is False
    copy = xnn("key", "show", tmp_path / "copy.key").result
    assert (copy["key_id"], copy["records_made"]) == (made["key_id"], shown["records_made"])
    assert xnn("key", "destroy", key).status != 0, "it asks, and nobody answers"
    assert key.exists()
    assert xnn("key", "destroy", key, "--yes").result == {
        "key_id": made["key_id"],
        "destroyed": True,
    }
    assert not key.exists()


def test_raw_export_says_what_it_is(xnn, new_key, tmp_path: Path) -> None:
    key = new_key(tmp_path / "owner.key")
    outcome = xnn("key", "export", key, tmp_path / "root.hex", "--raw")
    assert outcome.result["raw"] is True
    assert outcome.stderr.startswith("warning: the file will hold the key in the clear")
    root = (tmp_path / "root.hex").read_text().strip()
    assert len(bytes.fromhex(root)) == 32
    assert root not in outcome.stdout + outcome.stderr
    assert oct((tmp_path / "root.hex").stat().st_mode)[-3:] == "600"


def test_check_names_what_would_spoil_a_test(xnn, crops: Path, tmp_path: Path) -> None:
    (tmp_path / "crops").mkdir()
    for subject in ("a", "b"):
        (tmp_path / "crops" / subject).mkdir()
        content = (crops / "s1" / "1.png").read_bytes()
        (tmp_path / "crops" / subject / "1.png").write_bytes(content)
    (tmp_path / "crops" / "a" / "notes.txt").write_text("no face")
    outcome = xnn("faces", "check", tmp_path / "crops")
    found = outcome.result
    assert found["duplicates_across_subjects"][0]["subjects"] == ["a", "b"]
    assert found["skipped_files"] == 1
    assert len(found["warnings"]) == 3
    assert outcome.stderr.count("warning: ") == 3


def test_a_command_as_the_user_starts_it(crops: Path) -> None:
    """The installed entry point, in a process of its own: JSON on stdout, nothing on stderr."""
    command = [sys.executable, "-m", "xnn"]
    good = subprocess.run(
        [*command, "faces", "check", str(crops)], capture_output=True, text=True, check=False
    )
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["subjects"] == 6
    bad = subprocess.run(
        [*command, "faces", "check", "nowhere"], capture_output=True, text=True, check=False
    )
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr == "xnn: 'nowhere' does not exist; give a folder or a manifest\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing-of-the-kind"],
        ["train"],
        ["train", "shards", "--out", "run", "--epochs", "0"],
        ["train", "shards", "--out", "run", "--epochs", "many"],
        ["train", "shards", "--out", "run", "--preset", "huge"],
        ["shard", "build", "--nonsense"],
        ["key", "new", "k", "--dataset", "orl", "--scheme", "rot13"],
        ["key", "new", "k", "--dataset", "orl", "--extractor", "nobody"],
        ["attack", "run", "guesswork", "--victim", "a", "--public", "b", "--out", "c"],
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    xnn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = xnn(*arguments)
    assert outcome.error
    assert outcome.status == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("group", [[], ["key"], ["shard"]])
def test_a_group_alone_shows_its_help(xnn, group: list[str]) -> None:
    outcome = xnn(*group)
    assert outcome.status == 2
    assert "Usage: xnn" in outcome.stdout + outcome.stderr
    assert "xnn: " not in outcome.stderr


def test_stopping_says_how_to_go_on(xnn, monkeypatch: pytest.MonkeyPatch, work) -> None:
    def stop(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xnn.shards.ShardSet.open", stop)
    outcome = xnn("shard", "verify", work.shards)
    assert outcome.status == 130
    assert (
        outcome.stderr
        == "xnn: stopped; run the same command again to continue (training: with --resume)\n"
    )
