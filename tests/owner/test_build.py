"""Building and re-keying on real faces: right records, no names, no difference after a kill."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.errors import (
    CorruptError,
    FacesError,
    InsufficientDataError,
    KeyMismatchError,
    NoInverseError,
    OutputExistsError,
    ResumeError,
)
from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.faces.crop import read_crops
from xnn.faces.dataset import FaceSet, load_faces, save_manifest
from xnn.owner.binding import obfuscator_for
from xnn.owner.build import build_shards
from xnn.owner.plan import BuildSettings
from xnn.owner.rekey import rekey_shards
from xnn.owner.subject_map import load_subject_map
from xnn.schemes.paper import LinearObfuscator
from xnn.secret import KeyFile, read_key_info
from xnn.shards import ShardSet
from xnn.types import SubjectId

SMALL = BuildSettings(record_type="float32", batch_size=2, records_per_shard=4)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def by_subject(folder: Path, keyfile: KeyFile) -> dict[SubjectId, np.ndarray]:
    """Records of each training subject, found through the sealed map, in a canonical order."""
    source = ShardSet.open(folder).split("train")
    tokens = source.read(np.arange(len(source)))
    numbers = load_subject_map(keyfile)["train"]
    found = {}
    for subject, number in numbers.items():
        mine = tokens[source.labels == number]
        found[subject] = mine[np.argsort(mine[:, 0, 0])]
    return found


def test_plain_records_are_the_extractors_tokens(
    faces: FaceSet, extractor: Extractor, plain_keyfile: KeyFile, tmp_path: Path
) -> None:
    manifest = build_shards(faces, extractor, plain_keyfile, tmp_path / "s", SMALL)
    train = faces.only("train")
    got = by_subject(tmp_path / "s", plain_keyfile)
    assert set(got) == set(train.subjects)
    for subject in train.subjects:
        paths = [sample.path for sample in train.samples if sample.subject == subject]
        expected = extractor.tokens(torch.from_numpy(read_crops(paths))).numpy()
        expected = expected[np.argsort(expected[:, 0, 0])]
        assert np.allclose(got[subject], expected, atol=1e-4)
    assert manifest.num_records("val") == len(faces.only("val"))
    assert manifest.num_records() == len(train) + len(faces.only("val"))


def test_nothing_that_is_uploaded_names_anybody(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, tmp_path: Path
) -> None:
    root = tmp_path / "upload"
    build_shards(faces, extractor, keyfile, root, SMALL)
    uploaded = b"".join(contents(root).values())
    words = [faces.name, str(faces.samples[0].path.parent.parent), keyfile.key.scope.dataset]
    for word in words:
        assert word.encode() not in uploaded
    assert keyfile.key.derive("obfuscator") not in uploaded
    subjects = keyfile.path.with_name(keyfile.path.name + ".subjects")
    assert b"s1" not in subjects.read_bytes()
    assert oct(subjects.stat().st_mode)[-3:] == "600"


def test_keyed_records_show_no_token_of_the_extractor(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, tmp_path: Path
) -> None:
    build_shards(faces, extractor, keyfile, tmp_path / "s", SMALL)
    source = ShardSet.open(tmp_path / "s").split("train")
    records = source.read(np.arange(len(source))).reshape(-1, extractor.card.d)
    paths = [sample.path for sample in faces.only("train").samples]
    tokens = extractor.tokens(torch.from_numpy(read_crops(paths))).numpy()
    tokens = tokens.reshape(-1, extractor.card.d)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    assert np.abs(unit(records) @ unit(tokens).T).max() < 0.6


BUILD_AND_DIE = """
import os, signal, sys
from pathlib import Path
import torch
from xnn.faces.dataset import load_faces
from xnn.extractors.catalog import load_extractor
from xnn.owner.binding import obfuscator_for
from xnn.owner.build import build_shards
from xnn.owner.plan import BuildSettings
from xnn.secret import KeyFile

torch.set_num_threads(1)
data, key, out, limit = sys.argv[1:]
done = 0

def count(num_records):
    global done
    done += num_records
    if done >= int(limit):
        os.kill(os.getpid(), signal.SIGKILL)

settings = BuildSettings(record_type="float32", batch_size=2, records_per_shard=4)
keyfile = KeyFile.open(Path(key), "correct horse")
build_shards(load_faces(Path(data)), load_extractor("dlib"), keyfile, Path(out), settings,
             on_records=count)
"""


def test_killed_and_continued_is_byte_identical(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, tmp_path: Path
) -> None:
    save_manifest(faces, tmp_path / "faces.csv")
    faces = load_faces(tmp_path / "faces.csv")
    build_shards(faces, extractor, keyfile, tmp_path / "undisturbed", SMALL)
    for records_before_death in ("6", "14"):
        arguments = [tmp_path / "faces.csv", keyfile.path, tmp_path / "killed"]
        process = subprocess.run(
            [sys.executable, "-c", BUILD_AND_DIE, *map(str, arguments), records_before_death],
            check=False,
        )
        assert process.returncode == -signal.SIGKILL
    assert "manifest.json" not in contents(tmp_path / "killed")
    build_shards(faces, extractor, keyfile, tmp_path / "killed", SMALL)
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
    total = len(faces.only("train", "val"))
    assert read_key_info(keyfile.path).num_records == total, "counted once, not once per start"


def test_other_settings_do_not_continue_a_build(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, tmp_path: Path
) -> None:
    def stop(num_records: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_shards(faces, extractor, keyfile, tmp_path / "s", SMALL, on_records=stop)
    with pytest.raises(ResumeError):
        build_shards(faces, extractor, keyfile, tmp_path / "s", replace(SMALL, record_type="int8"))
    build_shards(faces, extractor, keyfile, tmp_path / "s", SMALL)
    with pytest.raises(OutputExistsError, match="finished"):
        build_shards(faces, extractor, keyfile, tmp_path / "s", SMALL)


def test_mirrored_training_crops_are_added(
    faces: FaceSet, extractor: Extractor, plain_keyfile: KeyFile, tmp_path: Path
) -> None:
    settings = replace(SMALL, mirror=True)
    manifest = build_shards(faces, extractor, plain_keyfile, tmp_path / "s", settings)
    train = faces.only("train")
    assert manifest.num_records("train") == 2 * len(train)
    assert manifest.num_records("val") == len(faces.only("val"))
    subject = train.subjects[0]
    paths = [sample.path for sample in train.samples if sample.subject == subject]
    crops = torch.from_numpy(read_crops(paths))
    expected = extractor.tokens(torch.cat([crops, crops.flip(2)])).numpy()
    got = by_subject(tmp_path / "s", plain_keyfile)[subject]
    assert np.allclose(got, expected[np.argsort(expected[:, 0, 0])], atol=1e-4)


@pytest.mark.parametrize("record_type", ["float32", "float16", "int8"])
def test_rekeyed_equals_built_from_scratch(
    faces: FaceSet,
    extractor: Extractor,
    keyfile: KeyFile,
    other_keyfile: KeyFile,
    tmp_path: Path,
    record_type: str,
) -> None:
    settings = replace(SMALL, record_type=record_type)
    build_shards(faces, extractor, keyfile, tmp_path / "old", settings)
    rekeyed = rekey_shards(
        ShardSet.open(tmp_path / "old"), keyfile, other_keyfile, tmp_path / "moved"
    )
    numbers = load_subject_map(other_keyfile)
    scratch = build_shards(faces, extractor, other_keyfile, tmp_path / "scratch", settings)
    assert load_subject_map(other_keyfile) == numbers
    assert rekeyed.key_id == other_keyfile.key.key_id
    assert [e.file for e in rekeyed.shards] == [e.file for e in scratch.shards]
    for split in ("train", "val"):
        moved, built = (
            ShardSet.open(tmp_path / name).split(split) for name in ("moved", "scratch")
        )
        assert np.array_equal(moved.labels, built.labels)
        rows = np.arange(len(built))
        want, got = built.read(rows), moved.read(rows)
        # Both are rounded, and the first rounding is magnified by the way from key to key.
        rounding = {"float32": 1e-6, "float16": 3e-4, "int8": 1e-2}[record_type]
        tolerance = rounding * (2 + 4 * magnified_by(keyfile, other_keyfile, extractor))
        assert np.linalg.norm(got - want) <= tolerance * np.linalg.norm(want)


def magnified_by(before: KeyFile, after: KeyFile, extractor: Extractor) -> float:
    """How much white rounding of records grows, in root mean square, when they are re-keyed."""
    maps = [obfuscator_for(k.key, extractor) for k in (before, after)]
    assert all(isinstance(made, LinearObfuscator) for made in maps)
    way = np.linalg.solve(*(made._matrix.double().numpy() for made in maps))
    return float(np.linalg.norm(way) / np.sqrt(len(way)))


def test_records_of_another_shape(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, narrow_keyfile: KeyFile, tmp_path: Path
) -> None:
    built = build_shards(faces, extractor, narrow_keyfile, tmp_path / "s", SMALL)
    assert (built.n, built.d) == (16, 128)
    shards = ShardSet.open(tmp_path / "s")
    assert shards.split("train").read(np.arange(2)).shape == (2, 16, 128)
    build_shards(faces, extractor, keyfile, tmp_path / "wide", SMALL)
    wide = ShardSet.open(tmp_path / "wide")
    moved = rekey_shards(wide, keyfile, narrow_keyfile, tmp_path / "moved")
    assert (moved.n, moved.d) == (16, 128)
    want, got = (
        by_subject(tmp_path / "s", narrow_keyfile),
        by_subject(tmp_path / "moved", narrow_keyfile),
    )
    for subject, records in want.items():
        assert np.allclose(got[subject], records, atol=1e-3)


def test_records_without_an_inverse_are_not_rekeyed(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, narrow_keyfile: KeyFile, tmp_path: Path
) -> None:
    build_shards(faces, extractor, narrow_keyfile, tmp_path / "s", SMALL)
    before = read_key_info(keyfile.path).exposures
    with pytest.raises(NoInverseError, match="'random-projection' cannot be re-keyed"):
        rekey_shards(ShardSet.open(tmp_path / "s"), narrow_keyfile, keyfile, tmp_path / "t")
    assert not (tmp_path / "t").exists()
    assert read_key_info(keyfile.path).exposures == before


def test_keys_of_something_else_are_refused(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, other_keyfile: KeyFile, tmp_path: Path
) -> None:
    shallow = load_extractor("dlib", split_depth=10)
    with pytest.raises(KeyMismatchError, match="extractor_digest"):
        build_shards(faces, shallow, keyfile, tmp_path / "s", SMALL)
    assert not (tmp_path / "s").exists()
    build_shards(faces, extractor, keyfile, tmp_path / "s", SMALL)
    with pytest.raises(KeyMismatchError, match="was made for key_id"):
        rekey_shards(ShardSet.open(tmp_path / "s"), other_keyfile, keyfile, tmp_path / "t")


def test_rekey_refuses_altered_shards(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, other_keyfile: KeyFile, tmp_path: Path
) -> None:
    build_shards(faces, extractor, keyfile, tmp_path / "s", SMALL)
    shards = ShardSet.open(tmp_path / "s")
    file = tmp_path / "s" / shards.manifest.shards[0].file
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(CorruptError, match="altered"):
        rekey_shards(shards, keyfile, other_keyfile, tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_one_subject_and_unaligned_photographs(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, orl_photos: Path, tmp_path: Path
) -> None:
    train = faces.only("train")
    first = train.subjects[0]
    lonely = replace(faces, samples=tuple(s for s in train.samples if s.subject == first))
    with pytest.raises(InsufficientDataError, match="1 training subjects"):
        build_shards(lonely, extractor, keyfile, tmp_path / "s", SMALL)
    photo = replace(train.samples[0], path=orl_photos / "s1" / "1.pgm")
    with pytest.raises(FacesError, match="xnn faces align"):
        build_shards(
            replace(faces, samples=(*train.samples, photo)),
            extractor,
            keyfile,
            tmp_path / "t",
            SMALL,
        )
