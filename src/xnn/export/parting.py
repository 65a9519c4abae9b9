"""A finished run parted into the device's half and the server's half, and what both must know.

Trust: owner. Neither half holds the teacher, a name or the other half.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8

from xnn.device.bundle import DeviceBundle, finish_device_bundle, load_device_bundle
from xnn.device.card import DeviceCard
from xnn.errors import ConfigError, InsufficientDataError
from xnn.export.device_bundle import export_device
from xnn.export.dtypes import DTYPE_TOLERANCE, score_changes, surviving
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet, Sample
from xnn.metrics import Calibration, calibrate
from xnn.owner.build import read_samples
from xnn.owner.evaluate import number_subjects
from xnn.owner.noise.finished import NoiseRun
from xnn.server.bundle import ServerBundle, save_server_bundle
from xnn.server.card import ServerCard
from xnn.training.validate import mean_rank_1

CHECKED_CROPS = 200
_SEED = 0
"""Of the choice among pairs and of the resamples: the same crops give the same thresholds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """The cards of the two bundles."""

    device: DeviceCard
    server: ServerCard


def part_run(
    trained: NoiseRun,
    extractor: Extractor,
    faces: FaceSet,
    *,
    device: Path,
    server: Path,
    int8: bool = False,
    dtype_tolerance: float = DTYPE_TOLERANCE,
) -> Parted:
    """Write both bundles.

    The export is checked on people of training and validation, dtypes are measured on the same, and
    thresholds are chosen by those of validation alone. Test people have no part in any of it.

    Args:
        trained: Of `load_noise_run`.
        extractor: The one that the run was trained behind.
        faces: The divided set that the run was trained on; an undivided one gives no thresholds.
        device: Folder of the device's bundle.
        server: Folder of the server's bundle.
        int8: Write the small variant of the front too.
        dtype_tolerance: Largest change of a cosine that a dtype may cause.

    Raises:
        ConfigError: The set is divided otherwise than the run's, or the tolerance is no change of
            a cosine.
        InsufficientDataError: All crops are of test people.
        CorruptError, MissingExtraError, StorageError: See `export_device`.
    """
    surviving({}, tolerance=dtype_tolerance)  # refuse a wrong one before the work, not after
    val = validation_samples(faces, trained)
    crops = _checked_crops(faces)
    card = export_device(device, trained.front, extractor.card, crops, int8=int8)
    front = load_device_bundle(device)
    bundle = ServerBundle(_server_card(trained, card), trained.student, trained.opener)

    labels, known = number_subjects(val), _embedded(front, bundle, val)
    told = _recognised(known, labels, "val_rank_1")
    if int8:
        small = load_device_bundle(device, int8=True)
        told |= _recognised(_embedded(small, bundle, val), labels, "int8_val_rank_1")
    changes = score_changes(lambda z: bundle.embed(torch.from_numpy(z)).numpy(), front.send(crops))
    dtypes = surviving(changes, tolerance=dtype_tolerance)
    server_card = dataclasses.replace(
        bundle.card,
        calibration=_calibrate(known, labels),
        dtypes=dtypes,
        dtype_tolerance=dtype_tolerance,
        dtype_changes={n: float(f"{c:.3g}") for n, c in changes.items() if math.isfinite(c)},
    )
    told = card.measured | told
    scheme = trained.facts["settings"]["preset"]
    card = dataclasses.replace(card, scheme=scheme, dtypes=dtypes, measured=told)
    save_server_bundle(server, trained.student, trained.opener, server_card)
    finish_device_bundle(device, card)
    return Parted(device=card, server=server_card)


def _checked_crops(faces: FaceSet) -> UInt8[np.ndarray, "b 112 112 3"]:
    """Return the crops that export and dtypes are checked on."""
    checked = _spread([s for s in faces.samples if s.split in ("train", "val")], CHECKED_CROPS)
    if len(checked) < 2:
        raise InsufficientDataError(
            f"{faces.name!r} has {len(checked)} crops that are not for tests, needs 2; "
            "give the set that the run was trained on"
        )
    return np.concatenate(list(read_samples(checked)))


def validation_samples(faces: FaceSet, trained: NoiseRun) -> tuple[Sample, ...]:
    """Return the photographs of people whom the student never learned; none of an undivided set.

    Raises:
        ConfigError: The set is divided, and its training people are not those of the run.
    """
    train, val = faces.only("train"), faces.only("val").samples
    facts = trained.facts["student"]
    copies = 2 if trained.facts["settings"].get("mirror") else 1
    found = (len(train.subjects), copies * len(train))
    if val and found != (facts["num_classes"], facts["num_records"]):
        raise ConfigError(
            f"{faces.name!r} is divided into {found[0]} people and {found[1]} records for "
            f"training, the run had {facts['num_classes']} and {facts['num_records']}; thresholds "
            "need people that it never saw: give the manifest that it was trained with"
        )
    return val


def _server_card(trained: NoiseRun, card: DeviceCard) -> ServerCard:
    settings, facts = trained.front.settings, trained.facts["student"]
    coupling = None
    if trained.opener is not None:
        coupling = {"width": card.e, "rounds": settings.rounds, "gain": settings.gain}
    return ServerCard(
        front_id=card.front_id,
        tail=trained.student.config,
        m=card.m,
        e=card.e,
        coupling=coupling,
        training={
            "preset": trained.facts["settings"]["preset"],
            "best_epoch": facts["best_epoch"],
            "num_classes": facts["num_classes"],
        },
    )


def _embedded(
    front: DeviceBundle, bundle: ServerBundle, val: Sequence[Sample]
) -> Float32[np.ndarray, "v k"]:
    """Return what the exported pair makes of the validation people."""
    sent = (torch.from_numpy(front.send(crops)) for crops in read_samples(val))
    parts = [bundle.embed(one).numpy() for one in sent]
    return np.concatenate([np.zeros((0, bundle.card.tail.output_dim), np.float32), *parts])


def _searchable(labels: Int64[np.ndarray, " v"]) -> bool:
    counts = np.bincount(labels)
    return len(counts) > 1 and bool(counts.max() > 1)


def _recognised(
    embeddings: Float32[np.ndarray, "v k"], labels: Int64[np.ndarray, " v"], name: str
) -> dict[str, float]:
    """Return what is told of recognition, to see what the small variant costs; {} of too few."""
    if not _searchable(labels):
        return {}
    return {name: float(f"{mean_rank_1(embeddings, labels):.4g}")}


def _calibrate(
    embeddings: Float32[np.ndarray, "v k"], labels: Int64[np.ndarray, " v"]
) -> Calibration | None:
    """Choose thresholds from the validation people."""
    if not _searchable(labels):
        return None
    return calibrate(embeddings, labels, generator=np.random.default_rng(_SEED))


def _spread(samples: Sequence[Sample], most: int) -> list[Sample]:
    """Return up to `most` samples from all over a list: many people, not the first few."""
    places = np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int)
    return [samples[place] for place in places]
