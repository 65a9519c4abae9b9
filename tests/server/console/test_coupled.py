"""A coupled front multiplies rounding on purpose: its z is compared as the server reads it.

Stated tolerance: embeddings of the same crop and fresh numbers have a cosine of at least 0.999.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import packed, unpacked
from in_page import PREPARE, SEND

from xnn.cli import noise
from xnn.device.bundle import load_device_bundle
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.models.noise_generator import FrontSettings
from xnn.owner.noise.presets import find_noise_preset, shorten
from xnn.owner.noise.stages import train_noise
from xnn.server.bundle import load_server_bundle
from xnn.training.presets import adamw_tail

COSINE = 0.999


@pytest.fixture(scope="module")
def coupled(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both halves of preset `xnn`, with widths that a dozen people can fill."""
    root = tmp_path_factory.mktemp("coupled")
    dlib = load_extractor("dlib")
    faces = split_faces(load_faces(crops), SplitSettings(test_subjects=4, val_subjects=0))
    settings = find_noise_preset("xnn", dlib.card.shape)
    settings = shorten(settings, teacher_epochs=1, student_epochs=1, batch_size=8)
    settings = dataclasses.replace(
        settings,
        front=FrontSettings(noise="coupled", code_dim=16, fresh_dim=4),
        student=dataclasses.replace(
            settings.student, tail=adamw_tail(1, 16, token_dropout=0.0, input_norm="none")
        ),
    )
    train_noise(faces, dlib, settings, root / "run")
    noise.export(root / "run", root / "device", root / "server", crops)
    return root


def test_the_server_reads_the_same_from_both(
    open_page, serve_pages, coupled: Path, people: dict[str, np.ndarray]
) -> None:
    device, server = load_device_bundle(coupled / "device"), load_server_bundle(coupled / "server")
    watched = open_page(serve_pages(coupled / "device"))
    watched.run(PREPARE)
    shape = (device.card.m, device.card.e)
    generator = np.random.default_rng(0)
    here, there = [], []
    for shots in list(people.values())[:8]:
        fresh = generator.standard_normal((1, *device.card.fresh_shape)).astype(np.float32)
        sent = watched.run(SEND, [packed(shots[0]), packed(fresh)])
        there.append(unpacked(sent, "<f4", shape))
        here.append(device._session.run(None, {"crops": shots[:1], "fresh": fresh})[0][0])
    vectors = [server.embed(torch.from_numpy(np.stack(z))).numpy() for z in (here, there)]
    units = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors]
    assert (units[0] * units[1]).sum(axis=1).min() >= COSINE
    # Positive control: of other faces they differ.
    assert (units[0][:-1] * units[1][1:]).sum(axis=1).min() < COSINE
