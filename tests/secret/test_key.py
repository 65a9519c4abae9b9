"""The key: pinned derivation, refusal to leak, refusal to be used for something else."""

import copy
import io
import json
import logging
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from xnn.errors import ConfigError, CorruptError, KeyMismatchError, SecretError, SecretLeakError
from xnn.secret import KeyScope, SecretKey
from xnn.secret.raw_key_access import TOKEN, export_root, import_root

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "key_v1.json").read_text())
ROOT = bytes(range(32))
CREATED = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def key() -> SecretKey:
    return import_root(ROOT, TOKEN, scope=KeyScope(**VECTORS["scope"]), created_at=CREATED)


def test_derivation_is_pinned(key: SecretKey) -> None:
    assert key.key_id == VECTORS["key_id"]
    for purpose, expected in VECTORS["derived_hex"].items():
        assert key.derive(purpose).hex() == expected


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "other"},
        {"extractor_digest": "cd" * 32},
        {"n": 8},
        {"d": 13},
        {"scheme": "paper-haar"},
        {"scheme_version": 2},
    ],
)
def test_another_scope_is_another_key(key: SecretKey, change: dict[str, object]) -> None:
    scope = replace(key.scope, **change)  # type: ignore[arg-type]
    other = import_root(ROOT, TOKEN, scope=scope, created_at=CREATED)
    assert other.key_id != key.key_id
    assert other.derive("obfuscator") != key.derive("obfuscator")
    field, value = next(iter(change.items()))
    with pytest.raises(KeyMismatchError, match=f"made for {field}="):
        key.require(**{field: value})
    key.require(**{field: getattr(key.scope, field)})


def test_generated_keys_differ_whatever_the_seeds_of_libraries(key: SecretKey) -> None:
    roots = set()
    for _ in range(3):
        torch.manual_seed(11)
        roots.add(export_root(SecretKey.generate(key.scope), TOKEN))
    assert len(roots) == 3


@pytest.mark.parametrize(
    "leak",
    [
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        lambda key: key.state_dict(),
        lambda key: torch.save({"model": key}, io.BytesIO()),
        lambda key: export_root(key, None),
    ],
)
def test_every_way_of_copying_is_refused(key: SecretKey, leak: object) -> None:
    with pytest.raises((SecretLeakError, SecretError)):
        leak(key)  # type: ignore[operator]


def test_nothing_printed_holds_the_root(key: SecretKey, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("%s %r %s", key, key, vars(type(key)))
    shown = caplog.text + repr(key) + str(key) + f"{[key]}" + str(key.scope)
    for form in (ROOT.hex(), repr(ROOT), str(list(ROOT))):
        assert form not in shown
    assert key.key_id in repr(key)


def test_sealed_data_opens_only_as_it_was(key: SecretKey) -> None:
    sealed = key.seal("subject-map", b"who is who")
    assert key.unseal("subject-map", sealed) == b"who is who"
    assert b"who" not in sealed
    flipped = bytes([sealed[0] ^ 1]) + sealed[1:]
    for purpose, content in (
        ("plan", sealed),
        ("subject-map", flipped),
        ("subject-map", sealed[:-1]),
        ("subject-map", b""),
    ):
        with pytest.raises(CorruptError, match="does not open"):
            key.unseal(purpose, content)


@pytest.mark.parametrize("dataset", ["", "a\nb", "x" * 201])
def test_odd_data_set_names_are_refused(dataset: str) -> None:
    with pytest.raises(ConfigError, match="printable"):
        KeyScope(**{**VECTORS["scope"], "dataset": dataset})
