"""Statistics of fitted schemes: measured once, sealed, and needed to use the key."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.errors import ConfigError, CorruptError, NoInverseError, StorageError
from xnn.extractors.interface import Extractor
from xnn.faces.crop import read_crops
from xnn.faces.dataset import FaceSet
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig
from xnn.owner.binding import obfuscator_for
from xnn.owner.build import build_shards
from xnn.owner.evaluate import embed_samples, evaluate_tail
from xnn.owner.plan import BuildSettings
from xnn.owner.rekey import rekey_shards
from xnn.owner.statistics import copy_statistics, load_statistics, statistics_path
from xnn.owner.subject_map import load_subject_map
from xnn.secret import KeyFile, read_key_info
from xnn.shards import ShardSet
from xnn.types import SubjectId

SMALL = BuildSettings(record_type="float32", batch_size=4, records_per_shard=8)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_build_measures_once_and_gives_the_same_bytes_again(
    faces: FaceSet, extractor: Extractor, fitted_keyfile: KeyFile, tmp_path: Path
) -> None:
    manifest = build_shards(faces, extractor, fitted_keyfile, tmp_path / "one", SMALL)
    assert (manifest.n, manifest.d) == (1, 256)
    path = statistics_path(fitted_keyfile.path)
    assert oct(path.stat().st_mode)[-3:] == "600"
    sealed = path.read_bytes()
    assert b"whitening" not in sealed, "sealed"
    build_shards(faces, extractor, fitted_keyfile, tmp_path / "two", SMALL)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert path.read_bytes() == sealed


def test_the_key_alone_is_not_enough(
    faces: FaceSet, extractor: Extractor, fitted_keyfile: KeyFile, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match=r"statistics' is missing.*restore it"):
        load_statistics(fitted_keyfile)
    with pytest.raises(ConfigError, match="measured on the owner"):
        obfuscator_for(fitted_keyfile.key, extractor)
    build_shards(faces, extractor, fitted_keyfile, tmp_path / "s", SMALL)
    path = statistics_path(fitted_keyfile.path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptError, match="sealed statistics does not open"):
        load_statistics(fitted_keyfile)


def test_a_copy_of_the_key_comes_with_them(
    faces: FaceSet, extractor: Extractor, fitted_keyfile: KeyFile, tmp_path: Path
) -> None:
    out = tmp_path / "copy.key"
    assert not copy_statistics(fitted_keyfile.path, out), "nothing was measured yet"
    build_shards(faces, extractor, fitted_keyfile, tmp_path / "s", SMALL)
    copy = KeyFile.create(out, fitted_keyfile.key, "another passphrase", extractor={})
    assert copy_statistics(fitted_keyfile.path, out)
    assert oct(statistics_path(out).stat().st_mode)[-3:] == "600"
    for name, values in load_statistics(fitted_keyfile).items():
        np.testing.assert_array_equal(load_statistics(copy)[name], values)


def test_a_tail_is_tested_at_home_without_noise(
    faces: FaceSet, extractor: Extractor, fitted_keyfile: KeyFile, tmp_path: Path
) -> None:
    build_shards(faces, extractor, fitted_keyfile, tmp_path / "s", SMALL)
    statistics = load_statistics(fitted_keyfile)
    torch.manual_seed(0)
    tail = Tail(TailConfig(n=1, d=256, tail_depth=0, heads=1)).eval()
    generator = np.random.default_rng(0)
    results = evaluate_tail(
        tail, faces, extractor, fitted_keyfile.key, statistics=statistics, generator=generator
    )
    assert [result.measured[0].protocol for result in results] == ["by_person", "by_image"]
    obfuscator = obfuscator_for(fitted_keyfile.key, extractor, statistics)
    samples = faces.only("test_by_person").samples
    tokens = extractor.tokens(torch.from_numpy(read_crops([s.path for s in samples])))
    with torch.no_grad():
        quiet, noisy = (
            tail(make(tokens)).numpy() for make in (obfuscator.without_noise, obfuscator.obfuscate)
        )
    got = embed_samples(samples, extractor, obfuscator, tail)
    assert np.allclose(got, quiet, atol=1e-4)
    assert not np.allclose(got, noisy, atol=0.1)


def test_rekeying_into_a_fitted_scheme(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, fitted_keyfile: KeyFile, tmp_path: Path
) -> None:
    build_shards(faces, extractor, keyfile, tmp_path / "old", SMALL)
    moved = rekey_shards(
        ShardSet.open(tmp_path / "old"), keyfile, fitted_keyfile, tmp_path / "moved"
    )
    assert (moved.n, moved.d, moved.scheme) == (1, 256, "pooled-noise-2")
    again = rekey_shards(
        ShardSet.open(tmp_path / "old"), keyfile, fitted_keyfile, tmp_path / "again"
    )
    assert again.shards == moved.shards


def test_rekeying_within_a_fitted_scheme(
    faces: FaceSet,
    extractor: Extractor,
    fitted_keyfile: KeyFile,
    other_fitted_keyfile: KeyFile,
    tmp_path: Path,
) -> None:
    """There is no way back to the features; the rotation is exchanged and the noise goes along."""
    old, new = fitted_keyfile, other_fitted_keyfile
    build_shards(faces, extractor, old, tmp_path / "old", SMALL)
    moved = rekey_shards(ShardSet.open(tmp_path / "old"), old, new, tmp_path / "moved")
    assert (moved.key_id, moved.num_records()) == (
        new.key.key_id,
        ShardSet.open(tmp_path / "old").manifest.num_records(),
    )
    for name, values in load_statistics(old).items():
        np.testing.assert_array_equal(load_statistics(new)[name], values)

    before, after = (
        by_subject(tmp_path / folder, keyfile, extractor)
        for folder, keyfile in (("old", old), ("moved", new))
    )
    assert set(before) == set(after)
    for subject, records in before.items():
        assert np.allclose(records, after[subject], atol=1e-5)

    again = rekey_shards(ShardSet.open(tmp_path / "old"), old, new, tmp_path / "again")
    assert again.shards == moved.shards


def by_subject(folder: Path, keyfile: KeyFile, extractor: Extractor) -> dict[SubjectId, np.ndarray]:
    """Records of each training subject with the key's rotation taken off, in a canonical order."""
    obfuscator = obfuscator_for(keyfile.key, extractor, load_statistics(keyfile))
    source = ShardSet.open(folder).split("train")
    records = torch.from_numpy(source.read(np.arange(len(source)))).double()
    unturned = obfuscator.unturn(records).numpy()
    found = {}
    for subject, number in load_subject_map(keyfile)["train"].items():
        mine = unturned[source.labels == number]
        found[subject] = mine[np.argsort(mine[:, 0, 0])]
    return found


def test_rekeying_a_fitted_scheme_to_another_is_refused(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, fitted_keyfile: KeyFile, tmp_path: Path
) -> None:
    build_shards(faces, extractor, fitted_keyfile, tmp_path / "old", SMALL)
    with pytest.raises(NoInverseError, match=r"re-keyed to that scheme.*--scheme pooled-noise-2"):
        rekey_shards(ShardSet.open(tmp_path / "old"), fitted_keyfile, keyfile, tmp_path / "moved")
    assert not (tmp_path / "moved").exists()
    assert not read_key_info(keyfile.path).exposures


def test_rekeying_to_a_key_that_measured_other_photographs_is_refused(
    faces: FaceSet,
    extractor: Extractor,
    fitted_keyfile: KeyFile,
    other_fitted_keyfile: KeyFile,
    tmp_path: Path,
) -> None:
    build_shards(faces, extractor, fitted_keyfile, tmp_path / "old", SMALL)
    some = replace(faces, samples=faces.only("train").samples[::2])
    build_shards(some, extractor, other_fitted_keyfile, tmp_path / "used", SMALL)
    sealed = statistics_path(other_fitted_keyfile.path).read_bytes()
    before = read_key_info(other_fitted_keyfile.path).exposures
    with pytest.raises(ConfigError, match="not used yet"):
        rekey_shards(
            ShardSet.open(tmp_path / "old"),
            fitted_keyfile,
            other_fitted_keyfile,
            tmp_path / "moved",
        )
    assert not (tmp_path / "moved").exists()
    assert statistics_path(other_fitted_keyfile.path).read_bytes() == sealed
    assert read_key_info(other_fitted_keyfile.path).exposures == before
