"""Recipes of a whole run: functions of the extractor's shape that return every setting."""

import dataclasses
from collections.abc import Callable
from typing import Any

from xnn.errors import ConfigError
from xnn.models.noise_generator import FrontSettings
from xnn.owner.noise.settings import GameSettings, NoiseSettings, StudentSettings
from xnn.training.presets import adamw, adamw_tail, paper, paper_tail
from xnn.types import TokenShape

PAPER_GAME_EPOCHS = 60
"""The epoch at which the authors stopped the game on CelebA, by hand."""
DENOISED_DIRECTIONS = 128
"""From 64 to all directions rank-1 on CelebA's validation people stays within 0.01."""


def paper_noise(shape: TokenShape, **changes: Any) -> NoiseSettings:
    """Return XNN-d as its authors ran it.

    G is a copy of the whole front (but for patch projection or stem), teacher, auxiliary tail,
    student: six blocks from scratch; SGD 0.05 with momentum and the paper's schedule in every
    stage; -0.7 and +0.3 times the loss; MSE on the cosines alone. Nothing bounds the noise.

    Two things differ on purpose: the read-out is the mean (the authors read token 0), and the
    schedule stays at its floor instead of climbing again.

    Source: arXiv:2408.04974 and its authors' code.
    """
    tail = paper_tail(shape.n, shape.d)
    settings = NoiseSettings(
        preset="paper",
        front=FrontSettings(noise="generator", shared_blocks=0, snr_db=0.0),
        teacher=paper(),
        teacher_tail=tail,
        game=GameSettings(train=paper(epochs=PAPER_GAME_EPOCHS), tail=tail),
        student=StudentSettings(train=paper(), tail=tail),
    )
    return dataclasses.replace(settings, **changes)


def xnn_noise(shape: TokenShape, **changes: Any) -> NoiseSettings:
    """Return our own: a short code of what the teacher needs, under noise that the server undoes.

    No game is played: every game that was tried ended with fresh attackers at the student's level
    (docs/research/noise.md). What is left is a secret that device and server share; see
    `xnn.models.coupling.Coupling` for what it is and is not.
    """
    front = FrontSettings(noise="coupled")
    tail = adamw_tail(1, front.code_dim, token_dropout=0.0, input_norm="none")
    settings = NoiseSettings(
        preset="xnn",
        front=front,
        teacher=adamw(),
        teacher_tail=adamw_tail(shape.n, shape.d),
        game=None,
        student=StudentSettings(train=adamw(epochs=10), tail=tail),
    )
    return dataclasses.replace(settings, **changes)


def gaussian(shape: TokenShape, **changes: Any) -> NoiseSettings:
    """Return the control: fresh Gaussian noise as strong as the features, nothing learned.

    Teacher and student are those that do best on a few thousand records. The student stands behind
    a Wiener filter: it knows the power of the noise and how clean features go together.
    """
    student = StudentSettings(
        train=adamw(epochs=15), tail=adamw_tail(shape.n, shape.d, denoise=DENOISED_DIRECTIONS)
    )
    return _simple(shape, "gaussian", **{"student": student, **changes})


def plain(shape: TokenShape, **changes: Any) -> NoiseSettings:
    """Return the other control: no noise at all. What the student reaches here is the most."""
    return _simple(shape, "plain", **changes)


def _simple(shape: TokenShape, preset: str, **changes: Any) -> NoiseSettings:
    tail = adamw_tail(shape.n, shape.d)
    noise = "none" if preset == "plain" else preset
    settings = NoiseSettings(
        preset=preset,
        front=FrontSettings(noise=noise),
        teacher=adamw(),
        teacher_tail=tail,
        game=None,
        student=StudentSettings(train=adamw(epochs=15), tail=tail),
    )
    return dataclasses.replace(settings, **changes)


NOISE_PRESETS: dict[str, Callable[..., NoiseSettings]] = {
    "xnn": xnn_noise,
    "paper": paper_noise,
    "gaussian": gaussian,
    "plain": plain,
}


def find_noise_preset(name: str, shape: TokenShape) -> NoiseSettings:
    """Return a preset's settings for an extractor's shape.

    Raises:
        ConfigError: There is no such preset.
    """
    if name not in NOISE_PRESETS:
        raise ConfigError(f"unknown preset {name!r}; use one of {', '.join(NOISE_PRESETS)}")
    return NOISE_PRESETS[name](shape)


def with_noise(
    settings: NoiseSettings, *, snr_db: float | None = None, shared_blocks: int | None = None
) -> NoiseSettings:
    """Return the settings with another budget of noise, or with lower blocks that G shares.

    Raises:
        ConfigError: The preset's front has no use for it, or it is out of range.
    """
    asked: dict[str, Any] = {"snr_db": snr_db, "shared_blocks": shared_blocks}
    changes = {name: value for name, value in asked.items() if value is not None}
    noise = settings.front.noise
    for name in changes:
        if noise not in _USES[name]:
            raise ConfigError(
                f"{name} says nothing of preset {settings.preset!r}; leave it out, or use preset "
                f"{' or '.join(_PRESETS_OF[kind] for kind in _USES[name])}"
            )
    return dataclasses.replace(settings, front=dataclasses.replace(settings.front, **changes))


_USES = {"snr_db": ("gaussian", "generator"), "shared_blocks": ("generator",)}
"""Which settings of a front each kind of noise reads."""
_PRESETS_OF = {"gaussian": "gaussian", "generator": "paper"}


def shorten(settings: NoiseSettings, **changes: int | None) -> NoiseSettings:
    """Return the settings with other epochs or seed, warm-ups shortened where they would fill them.

    Args:
        settings: Of a preset.
        changes: `teacher_epochs`, `game_epochs`, `student_epochs`, `measure_every_epochs`,
            `batch_size`, `seed`; None keeps what is there.
    """
    asked_seed = changes.get("seed")
    seed = settings.seed if asked_seed is None else asked_seed

    def of(config: Any, epochs: int | None) -> Any:
        epochs = config.epochs if epochs is None else epochs
        warmup = config.warmup_epochs
        if config.schedule == "smooth":
            warmup = min(warmup, epochs - 1)
        batch = changes.get("batch_size") or config.batch_size
        return dataclasses.replace(
            config, epochs=epochs, warmup_epochs=warmup, batch_size=batch, seed=seed
        )

    game = settings.game
    if game is not None:
        measured = changes.get("measure_every_epochs")
        game = dataclasses.replace(
            game,
            train=of(game.train, changes.get("game_epochs")),
            measure_every_epochs=game.measure_every_epochs if measured is None else measured,
        )
    return dataclasses.replace(
        settings,
        seed=seed,
        teacher=of(settings.teacher, changes.get("teacher_epochs")),
        game=game,
        student=dataclasses.replace(
            settings.student, train=of(settings.student.train, changes.get("student_epochs"))
        ),
    )
