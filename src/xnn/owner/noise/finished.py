"""A finished run read back: front, teacher and student, each refused behind another extractor."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xnn.errors import ConfigError
from xnn.extractors.interface import Extractor
from xnn.files import read_json
from xnn.models.margin import MarginHead
from xnn.models.noise_generator import FrontSettings, NoisyFront, Opener
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig
from xnn.owner.noise.distil import Teacher
from xnn.owner.noise.parts_file import load_part
from xnn.training.checkpoint import under_prefix, with_prefix

CONFIG_NAME = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseRun:
    """A finished run, in memory."""

    front: NoisyFront
    teacher: Teacher
    student: Tail
    opener: Opener | None
    """What stands in front of the student on the server."""
    facts: dict[str, Any]
    """Settings, subjects and how each stage went."""


def load_noise_run(out: Path, extractor: Extractor) -> NoiseRun:
    """Read a finished run.

    Raises:
        FormatError, CorruptError: A part is missing or altered.
        ConfigError: The run was made with another extractor.
    """
    tensors, student_facts = load_part(out, "student")
    _same_extractor("student", student_facts, extractor)
    _, facts = load_part(out, "front")
    settings = read_json(out / CONFIG_NAME)["settings"]
    front = new_front(extractor, FrontSettings(**facts["front"]))
    load_front(out, front)
    student = empty_tail(student_facts["tail"])
    student.load_state_dict(under_prefix("tail", tensors))
    return NoiseRun(
        front=front,
        teacher=load_teacher(out, extractor),
        student=student.eval(),
        opener=front.opener(),
        facts={
            "settings": settings,
            "teacher": load_part(out, "teacher")[1],
            "front": facts,
            "student": student_facts,
        },
    )


def new_front(extractor: Extractor, settings: FrontSettings) -> NoisyFront:
    """Return an untrained front: G, where there is one, equals E.

    Where nothing is copied, the cut is as high as it can be: maps above it are then the smallest.

    Raises:
        ConfigError: The extractor cannot be cut there.
    """
    highest = extractor.card.split_depth - 1
    cut = settings.shared_blocks if settings.noise == "generator" else highest
    parts = extractor.divide(cut)
    return NoisyFront(parts.lower, parts.upper, extractor.card.shape, settings)


def empty_tail(settings: dict[str, Any]) -> Tail:
    """Return a tail whose weights are yet to be loaded, without touching torch's generator."""
    with torch.random.fork_rng(devices=[]):
        return Tail(TailConfig.from_dict(settings))


def load_teacher(folder: Path, extractor: Extractor) -> Teacher:
    """Read the teacher of a run.

    Raises:
        ConfigError: It was trained behind another extractor.
        FormatError, CorruptError: See `load_part`.
    """
    tensors, facts = load_part(folder, "teacher")
    _same_extractor("teacher", facts, extractor)
    tail = empty_tail(facts["tail"])
    with torch.random.fork_rng(devices=[]):
        head = MarginHead(
            tail.config.output_dim,
            facts["num_classes"],
            kind=facts["head"],
            scale=facts["head_scale"],
            margin=facts["head_margin"],
        )
    tail.load_state_dict(under_prefix("tail", tensors))
    head.load_state_dict(under_prefix("head", tensors))
    return Teacher(
        tail=tail.eval().requires_grad_(requires_grad=False),
        head=head.requires_grad_(requires_grad=False),
    )


def trained_tensors(front: NoisyFront) -> dict[str, Tensor]:
    """Return what is a run's own in a front: the extractor's weights are public."""
    tensors: dict[str, Tensor] = {}
    for name, module in _own_parts(front).items():
        tensors |= with_prefix(name, module.state_dict())
    return tensors


def load_front(out: Path, front: NoisyFront) -> None:
    """Give a front what is the run's own in it, in eval mode, frozen.

    Raises:
        FormatError, CorruptError: See `load_part`.
    """
    tensors, _ = load_part(out, "front")
    for name, module in _own_parts(front).items():
        module.load_state_dict(under_prefix(name, tensors))
    front.eval().requires_grad_(requires_grad=False)


def _own_parts(front: NoisyFront) -> dict[str, nn.Module]:
    parts = {"generator": front.generator, "code": front.code, "coupling": front.coupling}
    return {name: module for name, module in parts.items() if module is not None}


def _same_extractor(what: str, facts: dict[str, Any], extractor: Extractor) -> None:
    if facts.get("extractor_digest") != extractor.card.digest():
        raise ConfigError(
            f"the {what} was trained behind another extractor than {extractor.card.name!r} at this "
            "cut; use the extractor of that run, or train anew"
        )
