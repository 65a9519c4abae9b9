"""Bad input on the command line: one clear line each, and nothing of the owner's is lost."""

import dataclasses
import json
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xnn.owner.exposure import find_budget

Step = Callable[..., list[object]]


def faces_of(crops: Path, folder: Path, *, subjects: int, shots: int) -> Path:
    """A face set in miniature: the first subjects and shots of the crops."""
    for subject in range(1, subjects + 1):
        (folder / f"s{subject}").mkdir(parents=True)
        for shot in range(1, shots + 1):
            shutil.copy(crops / f"s{subject}" / f"{shot}.png", folder / f"s{subject}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Make the disk refuse larger files: what a full disk looks like to a test run as root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


# What is in the folder, the command on it, and what its one line must say.


def empty_folder(tmp: Path, crops: Path) -> list[object]:
    (tmp / "crops").mkdir()
    return ["faces", "split", tmp / "crops", tmp / "out.csv"]


def empty_folder_to_align(tmp: Path, crops: Path) -> list[object]:
    (tmp / "photos").mkdir()
    return ["faces", "align", tmp / "photos", tmp / "out"]


def no_folder(tmp: Path, crops: Path) -> list[object]:
    return ["faces", "split", tmp / "crops", tmp / "out.csv"]


def flat_folder(tmp: Path, crops: Path) -> list[object]:
    faces_of(crops, tmp / "crops", subjects=1, shots=2)
    return ["faces", "split", tmp / "crops" / "s1", tmp / "out.csv"]


def one_subject(tmp: Path, crops: Path) -> list[object]:
    faces_of(crops, tmp / "crops", subjects=1, shots=5)
    return ["faces", "split", tmp / "crops", tmp / "out.csv"]


def one_image_per_subject(tmp: Path, crops: Path) -> list[object]:
    faces_of(crops, tmp / "crops", subjects=6, shots=1)
    return ["faces", "split", tmp / "crops", tmp / "out.csv"]


def no_images(tmp: Path, crops: Path) -> list[object]:
    (tmp / "crops" / "s1").mkdir(parents=True)
    (tmp / "crops" / "s1" / "notes.txt").write_text("no face")
    return ["faces", "split", tmp / "crops", tmp / "out.csv"]


def manifest_without_subjects(tmp: Path, crops: Path) -> list[object]:
    (tmp / "faces.csv").write_text("path\na.png\n")
    return ["faces", "split", tmp / "faces.csv", tmp / "out.csv"]


def manifest_of_missing_files(tmp: Path, crops: Path) -> list[object]:
    (tmp / "faces.csv").write_text("path,subject\na.png,a\n")
    return ["faces", "split", tmp / "faces.csv", tmp / "out.csv"]


def manifest_that_is_no_table(tmp: Path, crops: Path) -> list[object]:
    (tmp / "faces.parquet").write_bytes(b"\x00\xff" * 100)
    return ["faces", "split", tmp / "faces.parquet", tmp / "out.csv"]


def manifest_in_another_encoding(tmp: Path, crops: Path) -> list[object]:
    (tmp / "faces.csv").write_bytes("path,subject\na.png,Zoë\n".encode("utf-16"))
    return ["faces", "split", tmp / "faces.csv", tmp / "out.csv"]


def other_suffix_for_the_manifest(tmp: Path, crops: Path) -> list[object]:
    return ["faces", "split", crops, tmp / "out.json"]


def split_into_a_missing_folder(tmp: Path, crops: Path) -> list[object]:
    return ["faces", "split", crops, tmp / "nowhere" / "out.csv"]


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (empty_folder, "no image files in 'crops'"),
        (empty_folder_to_align, "'photos'"),
        (no_folder, "does not exist"),
        (flat_folder, "directly in 's1'"),
        (one_subject, "1 subjects"),
        (one_image_per_subject, "two or more"),
        (no_images, "1 other files"),
        (manifest_without_subjects, "lacks ['subject']"),
        (manifest_of_missing_files, "do not exist (as 'a.png')"),
        (manifest_that_is_no_table, "not a readable Parquet file"),
        (manifest_in_another_encoding, "not a UTF-8 CSV table"),
        (other_suffix_for_the_manifest, "expected .csv or .parquet"),
        (split_into_a_missing_folder, "No such file or directory"),
    ],
)
def test_faces(xnn, crops: Path, tmp_path: Path, prepare: Step, says: str) -> None:
    arguments = prepare(tmp_path, crops)
    before = contents(tmp_path)
    assert says in xnn(*arguments).error
    assert contents(tmp_path) == before


def build(work, tmp: Path, **changes: object) -> list[object]:
    named = {"data": work.manifest, "key": work.key, "out": tmp / "out"} | changes
    return ["shard", "build", named["data"], "--key", named["key"], "--out", named["out"]]


def crops_with(tmp: Path, crops: Path, name: str, content: bytes) -> Path:
    folder = faces_of(crops, tmp / "crops", subjects=4, shots=3)
    (folder / "s1" / name).write_bytes(content)
    return folder


def a_text_file_named_png(tmp: Path, work, crops: Path, new_key) -> list[object]:
    return build(work, tmp, data=crops_with(tmp, crops, "2.png", b"no image"))


def a_truncated_jpeg(tmp: Path, work, crops: Path, new_key) -> list[object]:
    with Image.open(crops / "s1" / "1.png") as crop:
        crop.save(tmp / "whole.jpg")
    whole = (tmp / "whole.jpg").read_bytes()
    return build(work, tmp, data=crops_with(tmp, crops, "9.jpg", whole[: len(whole) // 2]))


def a_photograph_not_aligned(tmp: Path, work, crops: Path, new_key) -> list[object]:
    folder = faces_of(crops, tmp / "crops", subjects=4, shots=3)
    Image.fromarray(np.zeros((92, 112), np.uint8)).save(folder / "s1" / "2.png")
    return build(work, tmp, data=folder)


def a_key_for_another_extractor(tmp: Path, work, crops: Path, new_key) -> list[object]:
    # Where `--extractor` names another one than the key was made for.
    return [*build(work, tmp), "--extractor", "dlib@64"]


def a_key_that_is_missing(tmp: Path, work, crops: Path, new_key) -> list[object]:
    return build(work, tmp, key=tmp / "no.key")


def a_key_that_is_none(tmp: Path, work, crops: Path, new_key) -> list[object]:
    (tmp / "no.key").write_text("-----BEGIN PRIVATE KEY-----")
    return build(work, tmp, key=tmp / "no.key")


def a_key_of_another_version(tmp: Path, work, crops: Path, new_key) -> list[object]:
    content = json.loads(work.key.read_text())
    (tmp / "old.key").write_text(json.dumps(content | {"version": 99}))
    return build(work, tmp, key=tmp / "old.key")


def an_altered_key(tmp: Path, work, crops: Path, new_key) -> list[object]:
    content = json.loads(work.key.read_text())
    (tmp / "bad.key").write_text(json.dumps(content | {"exposures": {"none": 0}}))
    return build(work, tmp, key=tmp / "bad.key")


def output_that_exists(tmp: Path, work, crops: Path, new_key) -> list[object]:
    return build(work, tmp, out=shutil.copytree(work.shards, tmp / "out"))


def output_with_something_else(tmp: Path, work, crops: Path, new_key) -> list[object]:
    (tmp / "out").mkdir()
    (tmp / "out" / "thesis.txt").write_text("years of work")
    return build(work, tmp)


def output_that_is_a_file(tmp: Path, work, crops: Path, new_key) -> list[object]:
    (tmp / "out").write_text("a file")
    return build(work, tmp)


def output_below_a_file(tmp: Path, work, crops: Path, new_key) -> list[object]:
    (tmp / "file").write_text("a file")
    return build(work, tmp, out=tmp / "file" / "out")


def a_record_type_of_another_day(tmp: Path, work, crops: Path, new_key) -> list[object]:
    return [*build(work, tmp), "--record-type", "int4"]


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (a_text_file_named_png, "'2.png'"),
        (a_truncated_jpeg, "'9.jpg'"),
        (a_photograph_not_aligned, "xnn faces align"),
        (a_key_for_another_extractor, "dlib"),
        (a_key_that_is_missing, "xnn key new"),
        (a_key_that_is_none, "is not valid JSON"),
        (a_key_of_another_version, "has key format 99"),
        (an_altered_key, "or the file was altered"),
        (output_that_exists, "already holds finished shards"),
        (output_with_something_else, "is not empty"),
        (output_that_is_a_file, "'out'"),
        (output_below_a_file, "'out'"),
        (a_record_type_of_another_day, "int4"),
    ],
)
def test_build(xnn, work, crops: Path, new_key, tmp_path: Path, prepare: Step, says: str) -> None:
    arguments = prepare(tmp_path, work, crops, new_key)
    before, key = contents(tmp_path), work.key.read_bytes()
    line = xnn(*arguments).error
    assert says.lower() in line.lower()
    after = contents(tmp_path)
    assert {name: after.get(name) for name in before} == before
    if "crops" not in {Path(name).parts[0] for name in before}:  # found before the first crop
        assert work.key.read_bytes() == key


def test_wrong_passphrase(xnn, work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XNN_PASSPHRASE", "wrong horse")
    line = xnn(*build(work, tmp_path)).error
    assert "passphrase" in line
    assert "wrong horse" not in line
    monkeypatch.delenv("XNN_PASSPHRASE")
    assert "--passphrase-file" in xnn(*build(work, tmp_path)).error
    (tmp_path / "words").write_bytes(b"\xff\xfe\x00")
    line = xnn(*build(work, tmp_path), "--passphrase-file", tmp_path / "words").error
    assert "'words'" in line
    (tmp_path / "words").write_bytes(b"")
    line = xnn(*build(work, tmp_path), "--passphrase-file", tmp_path / "words").error
    assert "is empty" in line
    assert not (tmp_path / "out").exists()


def test_a_full_disk_loses_nothing_and_the_build_goes_on(
    xnn, work, new_key, tmp_path: Path
) -> None:
    arguments = build(work, tmp_path, key=new_key(tmp_path / "k"))
    with largest_file(20_000):
        assert "File too large" in xnn(*arguments).error
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not list((tmp_path / "out").glob("*.partial"))
    records = xnn(*arguments).result["train_records"]
    assert xnn("shard", "verify", tmp_path / "out").result["train_records"] == records


def test_names_with_spaces_slashes_and_letters_of_all_kinds(
    xnn, crops: Path, new_key, tmp_path: Path
) -> None:
    names = ["Zoë O'Brien", "李 小龙", "a/b \\ c", "../../etc", "=cmd()", 's1, the "first"']
    rows = [
        f'"{crops / f"s{i}" / f"{shot}.png"}","{name.replace(chr(34), chr(34) * 2)}"'
        for i, name in enumerate(names, start=1)
        for shot in (1, 2, 3)
    ]
    (tmp_path / "faces.csv").write_text("\n".join(["path,subject", *rows]), encoding="utf-8")
    split = xnn("faces", "split", tmp_path / "faces.csv", tmp_path / "split.csv")
    assert sum(r["images"] for r in split.result["splits"]) == 18
    key = new_key(tmp_path / "k")
    built = xnn("shard", "build", tmp_path / "split.csv", "--key", key, "--out", tmp_path / "s")
    assert built.result["train_classes"] == 2
    uploaded = b"".join(contents(tmp_path / "s").values())
    assert not [name for name in names if name.encode() in uploaded]
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".lock") == [
        "faces.csv", "k", "k.subjects", "s", "split.csv",
    ]  # fmt: skip


def test_duplicates_across_subjects_are_a_warning(
    xnn, crops: Path, new_key, tmp_path: Path
) -> None:
    folder = faces_of(crops, tmp_path / "crops", subjects=4, shots=3)
    shutil.copy(folder / "s1" / "1.png", folder / "s2" / "9.png")
    (folder / "s3" / "notes.txt").write_text("no face")
    key = new_key(tmp_path / "k")
    outcome = xnn("shard", "build", folder, "--key", key, "--out", tmp_path / "s")
    assert outcome.result["train_records"] + outcome.result["val_records"] == 13
    assert "warning: 1 photographs stand under several subjects" in outcome.stderr


def test_a_scheme_by_name_makes_a_key_or_must_be_the_keys(
    xnn, crops: Path, new_key, tmp_path: Path
) -> None:
    folder = faces_of(crops, tmp_path / "crops", subjects=4, shots=3)
    key = new_key(tmp_path / "k", scheme="paper")
    build = ("shard", "build", folder, "--out", tmp_path / "s", "--key")
    told = xnn(*build, key, "--scheme", "pooled-noise-6").error
    assert "the key is for scheme 'paper', not 'pooled-noise-6'" in told
    made = xnn(*build, tmp_path / "new", "--scheme", "pooled-noise-6").result
    assert made["scheme"] == "pooled-noise-6"
    shown = xnn("key", "show", tmp_path / "new").result
    assert shown["dataset"] == "crops"
    assert f"{shown['records_made']} records of" in shown["exposure"]
    assert "unknown scheme" in xnn(*build, tmp_path / "other", "--scheme", "rot13").error
    assert not (tmp_path / "other").exists()


def test_uploads_under_one_key_add_up_to_its_limit(
    xnn, crops: Path, new_key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_budget("paper", 1, "dlib")
    assert found is not None
    measured = dataclasses.replace(found, records=2)  # limit: 20 records
    monkeypatch.setattr("xnn.cli.shard.find_budget", lambda *_: measured)
    key = new_key(tmp_path / "k", scheme="paper")
    first = faces_of(crops, tmp_path / "a", subjects=4, shots=3)
    second = faces_of(crops, tmp_path / "b", subjects=6, shots=2)
    build = ("shard", "build", "--key", key, "--out")
    assert xnn(*build, tmp_path / "s1", first).status == 0
    assert xnn(*build, tmp_path / "again", first).status == 0, "the same upload counts once"
    assert "24 records under one key, the limit is 20" in xnn(*build, tmp_path / "s2", second).error
    told = xnn(*build, tmp_path / "s2", second, "--accept-exposure", "--dry-run")
    assert told.status == 0


# Shards that arrived damaged, or are not what the run was begun with.


def change_manifest(shards: Path, **changes: object) -> None:
    path = shards / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def another_version(shards: Path) -> None:
    change_manifest(shards, version=99)


def not_a_manifest(shards: Path) -> None:
    (shards / "manifest.json").write_text("[]")


def unfinished(shards: Path) -> None:
    (shards / "manifest.json").unlink()


def missing_shard(shards: Path) -> None:
    min(shards.glob("train-*")).unlink()


def truncated_shard(shards: Path) -> None:
    path = min(shards.glob("train-*"))
    path.write_bytes(path.read_bytes()[:-7])


def flipped_bit(shards: Path) -> None:
    path = min(shards.glob("train-*"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def emptied_shard(shards: Path) -> None:
    path = min(shards.glob("train-*"))
    path.write_bytes(bytes(path.stat().st_size))


def unknown_scheme(shards: Path) -> None:
    change_manifest(shards, scheme="rot13")


def odd_counts(shards: Path) -> None:
    change_manifest(shards, num_classes={"train": 1, "val": 2})


DAMAGE = [
    (another_version, "have format 99"),
    (not_a_manifest, "expected an object"),
    (unfinished, "its build was interrupted"),
    (missing_shard, "is missing"),
    (truncated_shard, "truncated or altered"),
    (emptied_shard, "was altered|not a readable shard"),
    (flipped_bit, "was altered"),
]


@pytest.mark.parametrize(
    ("command", "damage", "says"),
    [(command, *case) for command in ("verify", "train", "rekey") for case in DAMAGE],
)
def test_damaged_shards(
    xnn, work, new_key, tmp_path: Path, command: str, damage: Callable[[Path], None], says: str
) -> None:
    shards = shutil.copytree(work.shards, tmp_path / "shards")
    damage(shards)
    arguments = {
        "verify": ["shard", "verify", shards],
        "train": ["train", shards, "--out", tmp_path / "run", "--preset", "tiny"],
        "rekey": [
            *("shard", "rekey", shards, "--from", work.key),
            *("--to", new_key(tmp_path / "new.key"), "--out", tmp_path / "moved"),
        ],
    }[command]
    before = contents(shards)
    line = xnn(*arguments).error
    assert any(text in line for text in says.split("|")), line
    assert contents(shards) == before
    assert not (tmp_path / "moved").exists()


def test_one_class_and_an_unknown_scheme(xnn, work, tmp_path: Path) -> None:
    for damage in (odd_counts, unknown_scheme):
        shards = shutil.copytree(work.shards, tmp_path / damage.__name__)
        damage(shards)
        shown = xnn("shard", "show", shards)
        if damage is unknown_scheme:
            assert "rot13" in shown.error
        else:
            assert "1 training subject" in xnn("train", shards, "--out", tmp_path / "run").error


def other_shards(work, tmp: Path, crops: Path, new_key, xnn) -> list[object]:
    """Shards of more subjects than the run was begun with."""
    key = new_key(tmp / "more.key")
    more = tmp / "more"
    assert xnn("shard", "build", crops, "--key", key, "--out", more).status == 0
    return ["train", more, "--preset", "tiny", "--epochs", 1]


def another_rate(work, tmp: Path, crops: Path, new_key, xnn) -> list[object]:
    return ["train", work.shards, "--preset", "tiny", "--epochs", 1, "--lr", 0.01]


def more_blocks(work, tmp: Path, crops: Path, new_key, xnn) -> list[object]:
    return ["train", work.shards, "--preset", "tiny", "--epochs", 1, "--tail-depth", 2]


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (other_shards, "num_classes=2 then, 4 now|num_classes=2 then, 5 now|data_id"),
        (another_rate, "lr=0.003 then, 0.01 now"),
        (more_blocks, "tail.tail_depth=1 then, 2 now"),
    ],
)
def test_resuming_something_else(
    xnn, work, crops: Path, new_key, tmp_path: Path, prepare: Step, says: str
) -> None:
    run = shutil.copytree(work.run, tmp_path / "run")
    arguments = prepare(work, tmp_path, crops, new_key, xnn)
    before = contents(run)
    line = xnn(*arguments, "--out", run, "--resume").error
    assert any(text in line for text in says.split("|")), line
    assert "not empty" in xnn(*arguments, "--out", run).error
    assert contents(run) == before


def test_a_damaged_checkpoint_is_not_gone_on_with(xnn, work, tmp_path: Path) -> None:
    run = shutil.copytree(work.run, tmp_path / "run")
    tensors = next((run / "checkpoints").glob("*.safetensors"))
    tensors.write_bytes(tensors.read_bytes()[:-1])
    line = xnn("train", work.shards, "--preset", "tiny", "--epochs", 1, "--out", run, "--resume")
    assert "missing or altered" in line.error


def test_evaluating_with_what_does_not_belong(
    xnn, work, crops: Path, new_key, tmp_path: Path
) -> None:
    other = new_key(tmp_path / "other.key")
    bundle = work.run / "bundle"
    assert "was made for key_id" in xnn("eval", bundle, work.manifest, "--key", other).error
    assert "no test samples" in xnn("eval", bundle, crops, "--key", work.key).error
    assert "not a bundle" in xnn("eval", work.run, work.manifest, "--key", work.key).error
    (tmp_path / "pairs.txt").write_text("nothing here\n")
    outcome = xnn(
        *("eval", bundle, work.manifest, "--key", work.key, "--pairs", tmp_path / "pairs.txt")
    )
    assert "holds no pairs" in outcome.error
    altered = shutil.copytree(bundle, tmp_path / "bundle")
    (altered / "tail.safetensors").write_bytes(b"")
    assert "missing or altered" in xnn("eval", altered, work.manifest, "--key", work.key).error


def test_rekeying_with_what_does_not_belong(xnn, work, new_key, tmp_path: Path) -> None:
    same, out = new_key(tmp_path / "same.key"), tmp_path / "out"
    shallow = new_key(tmp_path / "shallow.key", split_depth=10)
    ends = ["--from", work.key, "--to"]
    wrong = xnn("shard", "rekey", work.shards, "--from", same, "--to", work.key, "--out", out)
    assert "was made for key_id" in wrong.error
    wrong = xnn("shard", "rekey", work.shards, *ends, shallow, "--out", out)
    assert "extractor_digest" in wrong.error
    assert not out.exists()


def test_a_key_is_never_written_over_a_file(xnn, work, tmp_path: Path) -> None:
    (tmp_path / "k").write_text("mine")
    assert "never overwritten" in xnn("key", "new", tmp_path / "k", "--dataset", "orl").error
    for options in ([], ["--raw"]):
        assert "exists" in xnn("key", "export", work.key, tmp_path / "k", *options).error
    assert "not valid JSON" in xnn("key", "destroy", tmp_path / "k", "--yes").error
    assert (tmp_path / "k").read_text() == "mine"


def test_options_outside_their_range(xnn, work, crops: Path, tmp_path: Path) -> None:
    wrong = xnn("train", work.shards, "--out", tmp_path / "run", "--lr", "-1")
    assert (wrong.status, "lr=-1.0" in wrong.error) == (2, True)
    wrong = xnn("faces", "split", crops, tmp_path / "x.csv", "--test-subjects", 2.5)
    assert (wrong.status, "test_subjects=2.5" in wrong.error) == (2, True)
    wrong = xnn("faces", "split", crops, tmp_path / "x.csv", "--seed", -1)
    assert (wrong.status, "seed=-1" in wrong.error) == (2, True)
    assert not list(tmp_path.iterdir())
