"""The owner's test of a tail, on real faces, against one photograph at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.errors import InsufficientDataError, KeyMismatchError
from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.faces.crop import read_crop
from xnn.faces.dataset import FaceSet
from xnn.faces.pairs import Pair, load_pairs
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig
from xnn.owner.binding import obfuscator_for
from xnn.owner.evaluate import evaluate_tail, number_subjects
from xnn.secret import KeyFile


@pytest.fixture(scope="module")
def tail() -> Tail:
    card = load_extractor("dlib").card
    torch.manual_seed(0)
    config = TailConfig(n=card.n, d=card.d, tail_depth=1, heads=2, embedding_dim=8)
    return Tail(config).eval()


def one_by_one(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, tail: Tail
) -> dict[Path, np.ndarray]:
    """Unit embedding of each photograph, made alone."""
    obfuscator = obfuscator_for(keyfile.key, extractor)
    found = {}
    with torch.no_grad():
        for sample in faces.samples:
            crop = torch.from_numpy(read_crop(sample.path))[None]
            embedding = tail(obfuscator.obfuscate(extractor.tokens(crop)))[0].numpy()
            found[sample.path] = embedding / np.linalg.norm(embedding)
    return found


def test_equals_one_photograph_at_a_time(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, tail: Tail
) -> None:
    done: list[int] = []
    results = evaluate_tail(
        tail,
        faces,
        extractor,
        keyfile.key,
        generator=np.random.default_rng(0),
        on_records=done.append,
    )
    protocols = [result.measured[0].protocol for result in results]
    assert protocols == ["by_person", "by_image"]
    assert sum(done) == len(faces.only("test_by_person", "test_by_image"))
    for result, split in zip(results, ("test_by_person", "test_by_image"), strict=True):
        part = faces.only(split)
        unit = one_by_one(part, extractor, keyfile, tail)
        hits, enrolled = [], {sample.subject: sample for sample in part.samples}  # the last one
        for sample in part.samples:
            if sample is enrolled[sample.subject]:
                continue
            scores = {s: unit[e.path] @ unit[sample.path] for s, e in enrolled.items()}
            hits.append(max(scores, key=lambda s: scores[s]) == sample.subject)
        assert result.value("rank_1") == pytest.approx(np.mean(hits))
        mated = sorted(
            float(unit[a.path] @ unit[b.path])
            for i, a in enumerate(part.samples)
            for b in part.samples[:i]
            if a.subject == b.subject
        )
        assert np.allclose(np.sort(result.comparisons.mated), mated, atol=1e-5)


def test_pairs_file(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, tail: Tail, tmp_path: Path
) -> None:
    lines = ["s1\t1\t2", "s2\t3\t4", "s3\t1\t5", "s1\t1\ts2\t1", "s3\t2\ts4\t2", "s1\t5\ts6\t5"]
    kept = {(s.subject, s.path.stem) for s in faces.samples}
    # The split dropped some photographs: keep the pairs whose both ends are there.
    usable = []
    for line in lines:
        c = line.split("\t")
        ends = [(c[0], c[1]), (c[0], c[2]) if len(c) == 3 else (c[2], c[3])]
        if all(end in kept for end in ends):
            usable.append(line)
    (tmp_path / "pairs.txt").write_text("\n".join(usable))
    pairs = load_pairs(tmp_path / "pairs.txt", faces)
    results = evaluate_tail(
        tail, faces, extractor, keyfile.key, pairs=pairs, generator=np.random.default_rng(0)
    )
    listed = results[-1]
    assert listed.measured[0].protocol == "pairs"
    unit = one_by_one(faces, extractor, keyfile, tail)

    def score(pair: Pair) -> float:
        return float(unit[pair.first.path] @ unit[pair.second.path])

    mated = [score(p) for p in pairs if p.first.subject == p.second.subject]
    non_mated = [score(p) for p in pairs if p.first.subject != p.second.subject]
    assert mated
    assert non_mated
    assert np.allclose(np.sort(listed.comparisons.mated), sorted(mated), atol=1e-5)
    assert np.allclose(np.sort(listed.comparisons.non_mated), sorted(non_mated), atol=1e-5)


def test_another_key_gives_other_embeddings(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, other_keyfile: KeyFile, tail: Tail
) -> None:
    part = faces.only("test_by_person")
    own, other = (one_by_one(part, extractor, k, tail) for k in (keyfile, other_keyfile))
    assert min(float(own[path] @ other[path]) for path in own) < 0.95


def test_what_cannot_be_tested(
    faces: FaceSet, extractor: Extractor, keyfile: KeyFile, tail: Tail
) -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(InsufficientDataError, match="no test samples"):
        evaluate_tail(tail, faces.only("train"), extractor, keyfile.key, generator=generator)
    shallow = load_extractor("dlib", split_depth=10)
    with pytest.raises(KeyMismatchError, match="extractor_digest"):
        evaluate_tail(tail, faces, shallow, keyfile.key, generator=generator)


def test_subjects_are_numbered_by_sorted_name(faces: FaceSet) -> None:
    backwards = tuple(reversed(faces.samples))
    names = sorted({sample.subject for sample in backwards})
    numbers = number_subjects(backwards)
    assert [names[number] for number in numbers] == [sample.subject for sample in backwards]
