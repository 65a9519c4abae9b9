"""Packets of a real run: no picture, no crop, no plain token and no embedding crosses the wire.

A device enrols, verifies and searches with photographs, through its own client, with preset `xnn`;
everything between it and the server is recorded, and where one may, the packets of the loopback as
well. The same search is then shown to find each of these things where somebody does send it.
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
import torch.nn.functional as F
from PIL import Image

from served import Running, Site
from wiretap import SAME, Forbidden, PacketCapture, Wiretap
from xnn.accounts import secret_of
from xnn.device.client import Client
from xnn.device.pipeline import DevicePipeline, open_pipeline
from xnn.export.parting import part_run
from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.faces.batch import AlignSettings, align_folder
from xnn.faces.dataset import load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.models.noise_generator import FrontSettings
from xnn.owner.noise.presets import find_noise_preset, shorten
from xnn.owner.noise.stages import train_noise
from xnn.server.bundle import load_server_bundle
from xnn.training.presets import adamw_tail
from xnn.wire import WireLimits, compose, decode, encode, mac_key
from xnn.wire.layout import MAGIC, PREFIX

PEOPLE = range(1, 12)
TRIED = 12
"""Somebody whom nobody trained on."""


@pytest.fixture(scope="module")
def dlib() -> Extractor:
    return load_extractor("dlib")


@pytest.fixture(scope="module")
def halves(dlib: Extractor, orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Preset `xnn` trained for seconds, with widths that few people can fill."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("capture")
    for subject in PEOPLE:
        folder = root / "photographs" / f"s{subject}"
        folder.mkdir(parents=True)
        for shot in range(1, 6):
            (folder / f"{shot}.pgm").symlink_to(orl_photos / f"s{subject}" / f"{shot}.pgm")
    align_folder(root / "photographs", root / "crops", AlignSettings(workers=1))
    split = SplitSettings(test_subjects=1, val_subjects=4)
    faces = split_faces(load_faces(root / "crops"), split)
    settings = find_noise_preset("xnn", dlib.card.shape)
    settings = shorten(settings, teacher_epochs=1, student_epochs=1, batch_size=4)
    tail = adamw_tail(1, 8, token_dropout=0.0, input_norm="none", embedding_dim=64)
    settings = dataclasses.replace(
        settings,
        front=FrontSettings(noise="coupled", code_dim=8, fresh_dim=4),
        student=dataclasses.replace(settings.student, tail=tail),
    )
    run = train_noise(faces, dlib, settings, root / "run")
    part_run(run, dlib, faces, device=root / "device", server=root / "server")
    return root


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


@dataclass(frozen=True)
class Secrets:
    """All that must stay on the device, or on the server."""

    crops: np.ndarray
    tokens: np.ndarray
    """Plain features of the crops, as the extractor gives them: (b, 16, 256)."""
    normalised: np.ndarray
    """LN_0(E): what the teacher sees and preset `plain` would send."""


@pytest.fixture(scope="module")
def secrets(photographs: list[Path], pipeline: DevicePipeline, dlib: Extractor) -> Secrets:
    crops = np.stack([pipeline.capture(path).crop for path in photographs])
    tokens = dlib.tokens(torch.from_numpy(crops))
    normalised = F.layer_norm(tokens, (tokens.shape[-1],))
    return Secrets(crops=crops, tokens=tokens.numpy(), normalised=normalised.numpy())


def forbidden_of(photographs: list[Path], secrets: Secrets, embeddings: np.ndarray) -> Forbidden:
    content: dict[str, bytes] = {}
    pictures: list[bytes] = []
    numbers: dict[str, np.ndarray] = {}
    for number, path in enumerate(photographs):
        with Image.open(path) as photo:
            pixels = np.asarray(photo.convert("RGB"))
        content[f"file {number}"] = path.read_bytes()
        for shown in (pixels, secrets.crops[number]):
            pictures += [shown.tobytes(), shown[..., 1].tobytes()]
            pictures.append(shown.transpose(2, 0, 1).tobytes())
        numbers[f"tokens {number}"] = secrets.tokens[number]
        numbers[f"normalised tokens {number}"] = secrets.normalised[number]
    for number, embedding in enumerate(embeddings):
        numbers[f"embedding {number}"] = embedding
    return Forbidden(content | {"pixels": b"".join(pictures)}, numbers)


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
    running = Running(Site.make(root / "site", halves, {"scores": "exact"})).wait_until_ready()
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
    tap, capture = Wiretap(server.port), None
    if PacketCapture.refusal() is None:
        capture = PacketCapture(tap.port, tmp_path_factory.mktemp("packets") / "run.pcap")
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


def messages_in(stream: bytes, key: bytes) -> list:
    """Return the messages in what a device said."""
    found, at = [], stream.find(MAGIC)
    while at >= 0:
        _, _, _, header, payload = PREFIX.unpack_from(stream, at)
        content = stream[at : at + 48 + header + payload]
        found.append(decode(content, key, limits=WireLimits()))
        at = stream.find(MAGIC, at + len(content))
    return found


def test_the_run_was_a_real_one(recorded: Recorded) -> None:
    """Recorded is what the service worked with: two enrolled, one verified, one searched."""
    assert len(recorded.embeddings) == 4
    assert recorded.subjects in ([], ["somebody"])
    unit = recorded.embeddings / np.linalg.norm(recorded.embeddings, axis=1, keepdims=True)
    assert recorded.score == pytest.approx(float((unit[:2] @ unit[2]).max()), abs=1e-3)


def test_nothing_forbidden_crosses_the_wire(
    recorded: Recorded, photographs: list[Path], secrets: Secrets
) -> None:
    forbidden = forbidden_of(photographs, secrets, recorded.embeddings)
    assert forbidden.found_in(recorded.relayed) == set()
    assert max(forbidden.correlations(recorded.relayed).values()) < 0.7


def test_the_packets_of_the_loopback_say_the_same(
    recorded: Recorded, photographs: list[Path], secrets: Secrets
) -> None:
    if recorded.packets is None:
        pytest.skip(f"NO PACKETS WERE CAPTURED: {PacketCapture.refusal()}; the relay's record was")
    assert sorted(p for p in recorded.packets if p) == sorted(s for s in recorded.streams if s)
    forbidden = forbidden_of(photographs, secrets, recorded.embeddings)
    assert forbidden.found_in(b"".join(recorded.packets)) == set()


def in_message(numbers: np.ndarray, key: bytes, dtype: str) -> bytes:
    message = compose(numbers.astype(np.float32), scheme="plain", bundle_id="ab" * 32, dtype=dtype)
    return encode(message, key)


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
    forbidden = forbidden_of(photographs, secrets, recorded.embeddings)
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


def test_noise_is_not_mistaken_for_a_secret(
    recorded: Recorded, photographs: list[Path], secrets: Secrets
) -> None:
    forbidden = forbidden_of(photographs, secrets, recorded.embeddings)
    noise = np.random.default_rng(0).bytes(20000)
    assert forbidden.found_in(noise) == set()
    assert max(forbidden.correlations(noise).values()) < SAME - 0.2
