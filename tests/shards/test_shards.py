"""Shards on disk: round trip, no copy, every damage found, no torch."""

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xnn.errors import (
    CorruptError,
    FormatError,
    InsufficientDataError,
    OutputExistsError,
    ResumeError,
    ShapeError,
    StorageError,
    VersionError,
    XnnError,
)
from xnn.shards import Manifest, ShardSet, ShardWriter
from xnn.shards.arrow import encode_shard, open_shard
from xnn.shards.records import STORAGE
from xnn.types import TokenShape

N, D = 4, 6


def records(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    tokens = generator.normal(size=(count, N, D)).astype(np.float32)
    return tokens, generator.integers(0, 3, size=count)


def write_set(folder: Path, record_type: str = "float32", sizes: tuple[int, ...] = (5, 3)) -> Path:
    writer = ShardWriter(folder, plan_digest="p")
    for i, size in enumerate(sizes):
        content = encode_shard(*records(size, seed=i), record_type)
        writer.write(f"train-{i:05d}.arrow", content, split="train", records=size)
    writer.finish(
        Manifest(
            scheme="paper",
            scheme_version=1,
            key_id="k",
            extractor={"name": "tiny"},
            extractor_digest="ab" * 32,
            n=N,
            d=D,
            record_type=record_type,
            num_classes={"train": 3, "val": 0},
            shards=writer.entries(),
        )
    )
    return folder


@pytest.mark.parametrize("record_type", STORAGE)
def test_round_trip_in_any_order(tmp_path: Path, record_type: str) -> None:
    shards = ShardSet.open(write_set(tmp_path / "s", record_type))
    shards.verify()
    source = shards.split("train")
    tokens = np.concatenate([records(5, 0)[0], records(3, 1)[0]])
    labels = np.concatenate([records(5, 0)[1], records(3, 1)[1]])
    assert len(source) == 8
    assert source.shape == TokenShape(N, D)
    assert np.array_equal(source.labels, labels)
    wanted = np.array([7, 0, 5, 5, 4])
    tolerance = {"float32": 0, "float16": 2e-3, "bfloat16": 2e-2, "int8": 2e-2}[record_type]
    assert np.abs(source.read(wanted) - tokens[wanted]).max() <= tolerance


def test_reading_maps_the_file_instead_of_copying_it(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "s")
    view = open_shard(folder / "train-00000.arrow", TokenShape(N, D), 5, "float32")
    assert not view.stored.flags.owndata
    assert not view.stored.flags.writeable, "a memory map opened for reading cannot be written"


def test_same_records_same_bytes() -> None:
    assert encode_shard(*records(5), "int8") == encode_shard(*records(5), "int8")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_verify_finds_any_flipped_bit_and_any_cut(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "s"
    if not folder.exists():
        write_set(folder)
    file = folder / data.draw(st.sampled_from(["train-00000.arrow", "train-00001.arrow"]))
    good = file.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    flipped = bytes([good[place] ^ (1 << data.draw(st.integers(0, 7)))])
    cut = data.draw(st.booleans())
    file.write_bytes(good[:place] if cut else good[:place] + flipped + good[place + 1 :])
    try:
        with pytest.raises(CorruptError, match=file.name):
            ShardSet.open(folder).verify()
    finally:
        file.write_bytes(good)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "s")
    (folder / "train-00001.arrow").unlink()
    with pytest.raises(CorruptError, match=r"'train-00001\.arrow' is missing"):
        ShardSet.open(folder)
    with pytest.raises(FormatError, match=r"no manifest\.json: not a folder of shards"):
        ShardSet.open(tmp_path)


def test_a_pickle_in_place_of_a_shard_is_not_loaded(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "s")
    evil = pickle.dumps(print)
    (folder / "train-00000.arrow").write_bytes(evil)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][0] |= {
        "size_bytes": len(evil),
        "sha256": hashlib.sha256(evil).hexdigest(),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CorruptError, match="not a readable shard"):
        ShardSet.open(folder).split("train")


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"version": 2}, VersionError, "format 2, this program reads 1"),
        ({"format": "x"}, FormatError, "not a manifest"),
        ({"record_type": "float8"}, CorruptError, "float8"),
        ({"surprise": 1}, CorruptError, "surprise"),
        ({"shards": [{"file": "../../etc/passwd"}]}, CorruptError, "malformed"),
        ({"n": 0}, CorruptError, "at least 1"),
        ({"num_classes": {"train": 3}}, CorruptError, "val"),
        ({"num_classes": {"train": "3", "val": 0}}, CorruptError, "malformed"),
        ({"n": N + 1}, CorruptError, "not a readable shard"),
        ({"num_classes": {"train": 1, "val": 0}}, CorruptError, r"outside 0\.\.0"),
    ],
)
def test_odd_manifests(
    tmp_path: Path, change: dict[str, object], error: type[XnnError], text: str
) -> None:
    folder = write_set(tmp_path / "s")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(error, match=text):
        ShardSet.open(folder).split("train")


def test_a_path_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "s")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][0]["file"] = "../s/train-00000.arrow"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CorruptError, match="malformed"):
        ShardSet.open(folder)


def test_absent_split(tmp_path: Path) -> None:
    with pytest.raises(InsufficientDataError, match="no 'val' records"):
        ShardSet.open(write_set(tmp_path / "s")).split("val")


def test_bad_records_are_not_written() -> None:
    tokens, labels = records(2)
    with pytest.raises(ShapeError, match="2 records and 1 labels"):
        encode_shard(tokens, labels[:1], "float32")
    tokens[0, 0, 0] = np.nan
    with pytest.raises(ShapeError, match="NaN"):
        encode_shard(tokens, labels, "float32")


def test_writer_continues_its_own_plan_only(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    content = encode_shard(*records(5), "float32")
    ShardWriter(folder, plan_digest="p").write(
        "train-00000.arrow", content, split="train", records=5
    )
    again = ShardWriter(folder, plan_digest="p")
    assert again.has("train-00000.arrow")
    with pytest.raises(ResumeError, match="begun with other"):
        ShardWriter(folder, plan_digest="q")
    (folder / "train-00000.arrow").write_bytes(content[:-1])
    assert not ShardWriter(folder, plan_digest="p").has("train-00000.arrow")


def test_writer_leaves_other_folders_alone(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="already holds finished shards"):
        ShardWriter(write_set(tmp_path / "s"), plan_digest="p")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "letter.txt").write_text("dear")
    with pytest.raises(OutputExistsError, match="not empty"):
        ShardWriter(tmp_path / "notes", plan_digest="p")
    with pytest.raises(StorageError, match="make the folder"):
        ShardWriter(tmp_path / "notes" / "letter.txt", plan_digest="p")


def test_a_full_disk_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"
    writer = ShardWriter(folder, plan_digest="p")
    content = encode_shard(*records(5), "float32")
    writer.write("train-00000.arrow", content, split="train", records=5)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("xnn.files.os.fsync", full)
        with pytest.raises(StorageError, match="No space left on device; free space"):
            writer.write("train-00001.arrow", content, split="train", records=5)
    assert sorted(p.name for p in folder.iterdir()) == ["build.partial.json", "train-00000.arrow"]
    assert ShardWriter(folder, plan_digest="p").num_done == 1


def test_shards_keys_and_metrics_start_without_torch() -> None:
    code = (
        "import sys, xnn.shards, xnn.secret, xnn.metrics, xnn.files\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
