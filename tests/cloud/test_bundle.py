"""Bundles: the same tail back, or one clear error."""

import json
from pathlib import Path

import pytest
import torch

from xnn.cloud.bundle import BundleCard, load_bundle, save_bundle
from xnn.errors import ConfigError, CorruptError, FormatError, VersionError
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig

CONFIG = TailConfig(n=4, d=8, tail_depth=1, heads=2, input_norm="whiten", embedding_dim=5)


def card(**changes: object) -> BundleCard:
    fields: dict = {
        "tail": CONFIG,
        "scheme": "paper",
        "scheme_version": 1,
        "key_id": "toy-key",
        "extractor": {"name": "toy"},
        "extractor_digest": "0" * 64,
        "n": 4,
        "d": 8,
        "training": {"steps": 3, "val_rank_1": None},
    }
    return BundleCard(**{**fields, **changes})


@pytest.fixture
def bundle_dir(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_bundle(tmp_path / "bundle", Tail(CONFIG), card())
    return tmp_path / "bundle"


def edit(bundle_dir: Path, **changes: object) -> None:
    path = bundle_dir / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_same_tail_and_card_come_back(bundle_dir: Path) -> None:
    torch.manual_seed(0)
    tail = Tail(CONFIG).eval()
    bundle = load_bundle(bundle_dir)
    assert bundle.card == card()
    assert bundle.card.embedding_dim == 5
    assert not bundle.tail.training
    records = torch.randn(3, 4, 8)
    assert torch.equal(bundle.tail(records), tail(records))


def test_saving_again_replaces(bundle_dir: Path) -> None:
    save_bundle(bundle_dir, Tail(CONFIG), card(key_id="another"))
    assert load_bundle(bundle_dir).card.key_id == "another"


def test_every_flipped_bit_of_the_weights_is_found(bundle_dir: Path) -> None:
    path = bundle_dir / "tail.safetensors"
    content = path.read_bytes()
    for position in (0, 7, 40, len(content) // 2, len(content) - 1):
        flipped = bytearray(content)
        flipped[position] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(CorruptError, match="missing or altered"):
            load_bundle(bundle_dir)
    path.unlink()
    with pytest.raises(CorruptError, match="missing or altered"):
        load_bundle(bundle_dir)


def test_an_altered_card_is_found(bundle_dir: Path) -> None:
    fields = json.loads((bundle_dir / "bundle.json").read_text())["card"]
    edit(bundle_dir, card={**fields, "key_id": "forged"})
    with pytest.raises(CorruptError, match="checksum differs"):
        load_bundle(bundle_dir)


def test_another_version_is_named(bundle_dir: Path) -> None:
    edit(bundle_dir, version=2)
    with pytest.raises(VersionError, match="format 2, this program reads 1"):
        load_bundle(bundle_dir)


def test_what_is_no_bundle_is_refused(bundle_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not a bundle"):
        load_bundle(tmp_path)
    edit(bundle_dir, format="tarball")
    with pytest.raises(FormatError, match="not the card of a bundle"):
        load_bundle(bundle_dir)
    (bundle_dir / "bundle.json").write_text("{")
    with pytest.raises(CorruptError, match="not valid JSON"):
        load_bundle(bundle_dir)


def test_a_card_for_other_records_is_refused() -> None:
    with pytest.raises(ConfigError, match="a tail for 4x8 beside records of 5x8"):
        card(n=5)
