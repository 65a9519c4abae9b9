"""Packets of a real run: no picture, no crop, no plain token and no embedding crosses the wire.

A device enrols, verifies and searches with photographs, through its own client, with each preset
that adds something to the features; everything between it and the server is recorded, and where one
may, the packets of the loopback as well. What a z lets somebody compute is not asked here: that is
for the red team. The same search is then shown to find each of these things where somebody does
send it.
"""

import base64
import dataclasses
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from secrets_of_faces import Secrets, forbidden_of, messages_in, secrets_of

from served import Running, Site
from wiretap import SAME, PacketCapture, Wiretap
from xnn.accounts import secret_of
from xnn.device.client import Client
from xnn.device.pipeline import DevicePipeline, open_pipeline
from xnn.export.parting import part_run
from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.faces.batch import AlignSettings, align_folder
from xnn.faces.dataset import FaceSet, load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.models.noise_generator import FrontSettings
from xnn.models.tail import TailConfig
from xnn.owner.noise.presets import find_noise_preset, shorten
from xnn.owner.noise.settings import NoiseSettings
from xnn.owner.noise.stages import train_noise
from xnn.server.bundle import load_server_bundle
from xnn.training.presets import adamw_tail
from xnn.types import TokenShape
from xnn.wire import compose, encode, mac_key

PEOPLE = range(1, 12)
TRIED = 12
"""Somebody whom nobody trained on."""
SETTINGS = {"scores": "exact", "thresholds": {"0.1": -1.0}}
NEAREST = {"xnn": 0.7, "paper": 0.95, "gaussian": 0.95}
"""Correlation that no stretch of a recording reaches. A sum of features and noise as strong comes
to 0.71 by itself."""


@pytest.fixture(scope="module")
def dlib() -> Extractor:
    return load_extractor("dlib")


@pytest.fixture(scope="module")
def faces(orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    root = tmp_path_factory.mktemp("capture")
    for subject in PEOPLE:
        folder = root / "photographs" / f"s{subject}"
        folder.mkdir(parents=True)
        for shot in range(1, 6):
            (folder / f"{shot}.pgm").symlink_to(orl_photos / f"s{subject}" / f"{shot}.pgm")
    align_folder(root / "photographs", root / "crops", AlignSettings(workers=1))
    return split_faces(load_faces(root / "crops"), SplitSettings(test_subjects=1, val_subjects=4))


def quick(preset: str, shape: TokenShape) -> NoiseSettings:
    """A preset trained for seconds, with widths that few people can fill."""
    settings = find_noise_preset(preset, shape)
    settings = shorten(settings, teacher_epochs=1, game_epochs=1, student_epochs=1, batch_size=4)
    if preset == "xnn":
        tail = adamw_tail(1, 8, token_dropout=0.0, input_norm="none", embedding_dim=64)
        front = FrontSettings(noise="coupled", code_dim=8, fresh_dim=4)
        settings = dataclasses.replace(settings, front=front)
    else:
        tail = TailConfig(
            n=shape.n, d=shape.d, tail_depth=1, heads=4, mlp_ratio=1.0, embedding_dim=64
        )
        game = settings.game and dataclasses.replace(settings.game, tail=tail)
        settings = dataclasses.replace(settings, teacher_tail=tail, game=game)
    student = dataclasses.replace(settings.student, tail=tail)
    return dataclasses.replace(settings, student=student)


@pytest.fixture(scope="module", params=["xnn", "paper", "gaussian"])
def preset(request: pytest.FixtureRequest) -> str:
    """All presets that add something to the features; `plain` is the control at the end."""
    return str(request.param)


def made_halves(preset: str, root: Path, faces: FaceSet, dlib: Extractor) -> Path:
    torch.set_num_threads(1)
    run = train_noise(faces, dlib, quick(preset, dlib.card.shape), root / "run")
    part_run(run, dlib, faces, device=root / "device", server=root / "server")
    return root


@pytest.fixture(scope="module")
def halves(
    preset: str, dlib: Extractor, faces: FaceSet, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return made_halves(preset, tmp_path_factory.mktemp(preset), faces, dlib)


@pytest.fixture(scope="module")
def pipeline(halves: Path) -> DevicePipeline:
    return open_pipeline(halves / "device")


@pytest.fixture(scope="module")
def photographs(orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four photographs of one person as files that people have: two JPEG, two PNG."""
    root, paths = tmp_path_factory.mktemp("photographs"), []
    for shot, suffix in zip(range(1, 5), ("jpg", "png", "jpg", "png"), strict=True):
        paths.append(root / f"{shot}.{suffix}")
        with Image.open(orl_photos / f"s{TRIED}" / f"{shot}.pgm") as photo:
            photo.convert("RGB").save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def secrets(photographs: list[Path], pipeline: DevicePipeline, dlib: Extractor) -> Secrets:
    return secrets_of(photographs, pipeline, dlib)


@dataclass(frozen=True)
class Recorded:
    """A run, and what was recorded of it."""

    relayed: bytes
    streams: list[bytes]
    packets: list[bytes] | None
    """Streams put together from packets; None where none may be captured."""
    embeddings: np.ndarray
    """What the server made of each record: its own business."""
    score: float
    subjects: list[str]


@pytest.fixture(scope="module")
def server(halves: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("captured")
    running = Running(Site.make(root / "site", halves, SETTINGS)).wait_until_ready()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def recorded(
    server: Running,
    halves: Path,
    photographs: list[Path],
    pipeline: DevicePipeline,
    tmp_path_factory: pytest.TempPathFactory,
) -> Recorded:
    return record(server, halves, photographs, pipeline, tmp_path_factory.mktemp("packets"))


def record(
    server: Running, halves: Path, photographs: list[Path], pipeline: DevicePipeline, folder: Path
) -> Recorded:
    tap, capture = Wiretap(server.port), None
    if PacketCapture.refusal() is None:
        capture = PacketCapture(tap.port, folder / "run.pcap")
    key = server.site.keys["a"]
    with Client(tap.url, key, pipeline) as client:
        client.enrol("somebody", photographs[:2])
        verdict = client.verify("somebody", photographs[2])
        result = client.search(photographs[3])
    packets = None if capture is None else capture.stop(len(tap.recorded()))
    tap.close()
    records = [message.records for message in messages_in(tap.sent(), mac_key(secret_of(key)))]
    student = load_server_bundle(halves / "server")
    return Recorded(
        relayed=tap.recorded(),
        streams=[bytes(stream) for pair in tap.streams for stream in pair],
        packets=packets,
        embeddings=student.embed(torch.from_numpy(np.concatenate(records))).numpy(),
        score=verdict.score,
        subjects=[candidate.subject_id for candidate in result.candidates],
    )


def test_the_run_was_a_real_one(recorded: Recorded) -> None:
    """Recorded is what the service worked with: two enrolled, one verified, one searched."""
    assert len(recorded.embeddings) == 4
    assert recorded.subjects == ["somebody"]
    unit = recorded.embeddings / np.linalg.norm(recorded.embeddings, axis=1, keepdims=True)
    assert recorded.score == pytest.approx(float((unit[:2] @ unit[2]).max()), abs=1e-3)


def test_nothing_forbidden_crosses_the_wire(
    preset: str, recorded: Recorded, secrets: Secrets
) -> None:
    forbidden = forbidden_of(secrets, recorded.embeddings)
    assert forbidden.found_in(recorded.relayed) == set()
    nearest = max(forbidden.correlations(recorded.relayed).values())
    assert nearest < NEAREST[preset]


def test_the_packets_of_the_loopback_say_the_same(recorded: Recorded, secrets: Secrets) -> None:
    if recorded.packets is None:
        pytest.skip(f"NO PACKETS WERE CAPTURED: {PacketCapture.refusal()}; the relay's record was")
    assert sorted(p for p in recorded.packets if p) == sorted(s for s in recorded.streams if s)
    forbidden = forbidden_of(secrets, recorded.embeddings)
    assert forbidden.found_in(b"".join(recorded.packets)) == set()


def in_message(numbers: np.ndarray, key: bytes, dtype: str) -> bytes:
    message = compose(numbers, scheme="plain", bundle_id="ab" * 32, dtype=dtype)
    return encode(message, key)


def on_circle(numbers: np.ndarray) -> np.ndarray:
    return (numbers - numbers.min()) / np.ptp(numbers)


def png_of(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_each_of_it_is_found_where_somebody_sends_it(
    server: Running,
    recorded: Recorded,
    photographs: list[Path],
    secrets: Secrets,
) -> None:
    """The positive control: through the same relay to the same server, which refuses all of it."""
    forbidden = forbidden_of(secrets, recorded.embeddings)
    secret = mac_key(secret_of(server.site.keys["a"]))
    crop, tokens, normalised = secrets.crops[0], secrets.tokens[0], secrets.normalised[1]
    embedding = recorded.embeddings[3]
    decimals = "[" + ", ".join(f"{value:.4f}" for value in embedding) + "]"
    jpeg = photographs[0].read_bytes()
    controls: list[tuple[bytes, set[str]]] = [
        (jpeg, {"JPEG", "file 0"}),
        (photographs[1].read_bytes(), {"PNG", "file 1"}),
        (png_of(crop), {"PNG"}),
        (jpeg.hex().encode(), {"file 0"}),
        (b'{"image": "' + base64.b64encode(jpeg) + b'"}', {"JPEG in base64"}),
        (crop.tobytes(), {"pixels"}),
        (b"x" + crop[..., 1].tobytes(), {"pixels"}),
        (b"xx" + crop[40:60].tobytes(), {"pixels"}),
        (in_message(tokens[None], secret, "float32"), {"tokens 0"}),
        (in_message(tokens[None], secret, "float16"), {"tokens 0"}),
        (in_message(tokens[None], secret, "int8"), {"tokens 0"}),
        (in_message(normalised[None], secret, "float16"), {"normalised tokens 1"}),
        (in_message(on_circle(normalised)[None], secret, "fixed32"), {"normalised tokens 1"}),
        (b"xyz" + normalised.astype(">f4").tobytes(), {"normalised tokens 1"}),
        (embedding.astype("<f4").tobytes(), {"embedding 3"}),
        (b"x" + (3 * embedding).astype("<f2").tobytes(), {"embedding 3"}),
        (decimals.encode(), {"embedding 3"}),
    ]
    for body, wanted in controls:
        tap = Wiretap(server.port)
        answer = httpx.post(
            f"{tap.url}/v1/search",
            content=body,
            headers={
                "Authorization": f"Bearer {server.site.keys['a']}",
                "Content-Type": "application/vnd.xnn.records",
            },
        )
        tap.close()
        assert 400 <= answer.status_code < 500
        assert wanted <= forbidden.found_in(tap.recorded()), wanted


def test_noise_is_not_mistaken_for_a_secret(recorded: Recorded, secrets: Secrets) -> None:
    forbidden = forbidden_of(secrets, recorded.embeddings)
    noise = np.random.default_rng(0).bytes(20000)
    assert forbidden.found_in(noise) == set()
    assert max(forbidden.correlations(noise).values()) < SAME - 0.2


def test_a_front_that_adds_nothing_is_found_out(
    dlib: Extractor, faces: FaceSet, photographs: list[Path], tmp_path: Path
) -> None:
    """The other positive control: with preset `plain` a real run sends the tokens themselves."""
    halves = made_halves("plain", tmp_path / "halves", faces, dlib)
    pipeline = open_pipeline(halves / "device")
    server = Running(Site.make(tmp_path / "site", halves, SETTINGS)).wait_until_ready()
    try:
        recorded = record(server, halves, photographs, pipeline, tmp_path)
    finally:
        server.kill()
    forbidden = forbidden_of(secrets_of(photographs, pipeline, dlib), recorded.embeddings)
    plain = {f"{kind} {number}" for kind in ("tokens", "normalised tokens") for number in range(4)}
    assert forbidden.found_in(recorded.relayed) == plain
