"""A folder of shards made from random tokens, with no key involved."""

from pathlib import Path

import numpy as np
import pytest

from xnn.shards import Manifest, ShardWriter
from xnn.shards.arrow import encode_shard

N, D = 4, 8
CLASSES = {"train": 5, "val": 3}


def write_shards(folder: Path, *, seed: int = 0, train_classes: int = 5) -> Path:
    rng = np.random.default_rng(seed)
    writer = ShardWriter(folder, plan_digest="toy")
    classes = {"train": train_classes, "val": 3}
    for split, num_classes in classes.items():
        labels = np.arange(8 * num_classes) % num_classes
        centres = rng.normal(size=(num_classes, 1, D))
        tokens = (centres[labels] + rng.normal(size=(len(labels), N, D))).astype(np.float32)
        content = encode_shard(tokens, labels, "float32")
        writer.write(f"{split}-0.arrow", content, split=split, records=len(labels))  # type: ignore[arg-type]
    writer.finish(
        Manifest(
            scheme="paper",
            scheme_version=1,
            key_id="toy-key",
            extractor={"name": "toy", "n": N, "d": D},
            extractor_digest="0" * 64,
            n=N,
            d=D,
            record_type="float32",
            num_classes=classes,  # type: ignore[arg-type]
            shards=writer.entries(),
        )
    )
    return folder


@pytest.fixture
def toy_shards(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards")
