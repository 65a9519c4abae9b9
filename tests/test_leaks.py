"""A search for what must never get out: root bytes, derived key material, names, pixels, tokens.

Flow A runs once under a key whose root is known to the test, on subjects with telling names. Then
everything that it wrote, printed, logged or showed is searched, in every encoding.
"""

import base64
import copy
import io
import logging
import pickle
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from xnn.cli import main
from xnn.errors import SecretError, XnnError
from xnn.extractors.catalog import load_extractor
from xnn.faces.crop import read_crop
from xnn.faces.dataset import load_faces, save_manifest
from xnn.faces.splits import SplitSettings, split_faces
from xnn.owner.arrangement import arrange
from xnn.owner.binding import obfuscator_for
from xnn.owner.plan import BuildSettings, plan_build
from xnn.schemes import KeyStream
from xnn.secret import KeyFile, KeyScope, SecretKey
from xnn.secret.raw_key_access import TOKEN, import_root

ROOT = bytes.fromhex("5ec2e7" * 10 + "c0de")
PASSPHRASE = "sentinel passphrase"
NAMES = [f"Sentinel Persona {letter}" for letter in "ABCDEF"]


@dataclass(frozen=True)
class Flow:
    """One flow A, all that it showed, and what to look for."""

    folder: Path
    key: SecretKey
    shown: str


def command(*arguments: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XNN_PASSPHRASE", PASSPHRASE)
        patch.setattr("sys.argv", ["xnn", *map(str, arguments)])
        try:
            main.run()
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def flow(orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    root = tmp_path_factory.mktemp("leaks")
    owner, cloud = root / "owner", root / "cloud"
    cloud.mkdir()
    for number, name in enumerate(NAMES, start=1):
        (owner / "crops" / name).mkdir(parents=True)
        for shot in range(1, 5):
            with Image.open(orl_photos / f"s{number}" / f"{shot}.pgm") as photo:
                crop = photo.convert("RGB").resize((112, 112))
                crop.save(owner / "crops" / name / f"{shot}.png")
    faces = split_faces(
        load_faces(owner / "crops"),
        SplitSettings(test_subjects=2, val_subjects=2, images_per_test_subject=3),
    )
    save_manifest(faces, owner / "faces.csv")
    card = load_extractor("dlib").card
    scope = KeyScope(
        dataset="sentinel-data-set",
        extractor_digest=card.digest(),
        n=card.n,
        d=card.d,
        scheme="paper",
        scheme_version=1,
    )
    key = import_root(ROOT, TOKEN, scope=scope, created_at="2026-01-01T00:00:00+00:00")
    path = owner / "owner.key"
    KeyFile.create(path, key, PASSPHRASE, extractor=card.to_dict(), log2_n=10)

    text, threads = io.StringIO(), torch.get_num_threads()
    torch.set_num_threads(1)
    handler = logging.StreamHandler(text)
    logger = logging.getLogger()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    data, shards, run = owner / "faces.csv", cloud / "shards", cloud / "run"
    with redirect_stdout(text), redirect_stderr(text):
        assert command("shard", "build", data, "--key", path, "--out", shards) == 0
        assert command("key", "show", path) == 0
        assert command("shard", "verify", shards) == 0
        assert command("train", shards, "--out", run, "--preset", "tiny", "--epochs", 2) == 0
        assert command("eval", run / "bundle", data, "--key", path) == 0
        # and what goes wrong, with the trace that --debug prints
        assert command("--debug", "shard", "build", data, "--key", path, "--out", shards) == 1
        assert command("--debug", "eval", run, data, "--key", path) == 1
        assert command("--debug", "train", shards, "--out", run) == 1
    main._STATE["debug"] = False
    logger.removeHandler(handler)
    logger.setLevel(level)
    torch.set_num_threads(threads)
    return Flow(root, key, text.getvalue())


def encodings(secret: bytes) -> list[bytes]:
    """The bytes themselves, and as text would hold them."""
    listed = ", ".join(map(str, secret[:8])).encode()
    whole = base64.b64encode(secret)
    return [
        secret,
        secret[::-1],
        secret.hex().encode(),
        secret.hex().upper().encode(),
        whole.rstrip(b"=")[:-1],
        base64.urlsafe_b64encode(secret).rstrip(b"=")[:-1],
        listed,
        repr(secret)[2:-1].encode(),
    ]


def key_material(key: SecretKey) -> list[bytes]:
    """Root, derived bytes, and the obfuscator's own numbers."""
    obfuscator = obfuscator_for(key, load_extractor("dlib"))
    matrix = obfuscator._matrix  # type: ignore[attr-defined]
    purposes = ("obfuscator", "plan", "subject-map", "record-order/train", "class-numbers/train")
    secrets = [ROOT, *(key.derive(purpose) for purpose in purposes)]
    numbers = [matrix[0, :8].numpy(), matrix[:8, 0].numpy(), obfuscator._inverse[0, :8].numpy()]
    for row in numbers:
        secrets += [row.astype(kind).tobytes() for kind in (np.float64, np.float32, np.float16)]
    return secrets


@pytest.fixture(scope="module")
def secrets(flow: Flow) -> list[bytes]:
    return key_material(flow.key)


def found(secrets: list[bytes], where: bytes) -> list[int]:
    return [i for i, s in enumerate(secrets) if any(text in where for text in encodings(s))]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_search_finds_what_is_planted(secrets: list[bytes]) -> None:
    for secret in secrets:
        for text in encodings(secret):
            assert found([secret], b"..." + text + b"...")
    assert found(secrets, b"nothing here") == []


def test_no_key_material_in_any_file(flow: Flow, secrets: list[bytes]) -> None:
    files = files_of(flow.folder)
    assert {"owner/owner.key", "owner/owner.key.subjects", "cloud/shards/manifest.json"} <= set(
        files
    )
    assert any(name.endswith(".safetensors") and "checkpoints" in name for name in files)
    assert any("tfevents" in name for name in files)
    assert {name: hits for name, b in files.items() if (hits := found(secrets, b))} == {}


def test_nobody_is_named_in_what_the_cloud_holds(flow: Flow) -> None:
    words = ["Sentinel", "Persona", "sentinel-data-set", "faces.csv", "crops", PASSPHRASE, "owner"]
    needles = [w.encode(kind) for w in words for kind in ("utf-8", "utf-16-le")]
    needles += [base64.b64encode(name.encode()).rstrip(b"=") for name in NAMES]
    for name, content in files_of(flow.folder / "cloud").items():
        assert not [n for n in needles if n in content], name
        assert "Sentinel" not in name
    sealed = (flow.folder / "owner" / "owner.key.subjects").read_bytes()
    assert b"Persona" not in sealed


def test_neither_pixels_nor_tokens_reach_the_cloud(flow: Flow) -> None:
    held = b"".join(files_of(flow.folder / "cloud").values())
    extractor = load_extractor("dlib")
    crops = [read_crop(path) for path in (flow.folder / "owner" / "crops").rglob("*.png")]
    for crop in crops:
        assert crop[56].tobytes()[:48] not in held
        assert crop[56, :, 0].tobytes()[:32] not in held
    tokens = extractor.tokens(torch.from_numpy(np.stack(crops))).numpy()
    for token in tokens.reshape(-1, tokens.shape[-1]):
        for kind in (np.float32, np.float16):
            assert token[:8].astype(kind).tobytes() not in held


def test_nothing_is_shown(flow: Flow, secrets: list[bytes]) -> None:
    """Output, warnings, logs and traces of commands that went well and of some that did not."""
    assert "Traceback" in flow.shown, "the traces were searched too"
    assert flow.key.key_id in flow.shown
    assert found(secrets, flow.shown.encode()) == []
    assert PASSPHRASE not in flow.shown
    # The data set's name is the owner's to see in `key show`; people's names are nobody's.
    assert "Persona" not in flow.shown


def test_reprs_hide_keys_and_names(flow: Flow, secrets: list[bytes]) -> None:
    path = flow.folder / "owner" / "owner.key"
    keyfile = KeyFile.open(path, PASSPHRASE)
    extractor = load_extractor("dlib")
    faces = load_faces(flow.folder / "owner" / "faces.csv")
    objects = [
        flow.key,
        keyfile,
        obfuscator_for(flow.key, extractor),
        KeyStream(flow.key.derive("obfuscator")),
        arrange(flow.key, "train", 50, 7),
        plan_build(faces, flow.key, BuildSettings()),
    ]
    shown = " ".join(f"{x!r} {x!s} {x}" for x in objects)
    assert found(secrets, shown.encode()) == []
    assert "Persona" not in shown
    order = arrange(flow.key, "train", 50, 7).order
    assert np.array2string(order[:5])[1:-1] not in shown


def test_key_material_is_not_carried_off_by_accident(flow: Flow) -> None:
    path = flow.folder / "owner" / "owner.key"
    keyfile = KeyFile.open(path, PASSPHRASE)
    obfuscator = obfuscator_for(flow.key, load_extractor("dlib"))
    for thing in (flow.key, obfuscator, KeyStream(bytes(32)), keyfile):
        for carry in (pickle.dumps, copy.deepcopy):
            with pytest.raises((SecretError, TypeError)):
                carry(thing)
        with pytest.raises((SecretError, TypeError)):
            torch.save(thing, io.BytesIO())


def test_errors_of_keys_tell_nothing(flow: Flow, secrets: list[bytes]) -> None:
    path = flow.folder / "owner" / "owner.key"
    sealed = path.with_name("owner.key.subjects").read_bytes()
    scope = flow.key.scope
    attempts = [
        lambda: KeyFile.open(path, "another passphrase"),
        lambda: flow.key.require(key_id="0" * 16, n=1),
        lambda: flow.key.unseal("subject-map", sealed[:-1]),
        lambda: flow.key.unseal("other", sealed),
        lambda: import_root(ROOT[:-1], TOKEN, scope=scope, created_at=""),
        lambda: import_root(ROOT, None, scope=scope, created_at=""),
        lambda: flow.key.state_dict(),
    ]
    for attempt in attempts:
        with pytest.raises(XnnError) as caught:
            attempt()
        chain: BaseException | None = caught.value
        while chain is not None:
            text = f"{chain} {chain!r} {chain.args}".encode()
            assert found([*secrets, ROOT[:-1]], text) == []
            assert b"another passphrase" not in text
            chain = chain.__cause__ or chain.__context__
