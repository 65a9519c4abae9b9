"""The board: every defence, every attack that applies, and what each costs in recognition.

One extractor, one data budget and one attacker budget. A cell is one scheme, one trial and one
seed; finished cells stay on disk, so that a stopped board goes on, and cells run side by side in
processes of their own.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

from xnn.attacks.suite import find_attack
from xnn.bench.cells import CellStore
from xnn.errors import ConfigError, XnnError
from xnn.redteam.attempt import Found
from xnn.redteam.casting import Sizes
from xnn.redteam.cell import CellSpec, run_cell
from xnn.redteam.trials import Trial
from xnn.redteam.utility_cell import NOTHING_UPLOADED, UtilitySpec, run_utility_cell
from xnn.schemes import find_scheme
from xnn.workers import end_with_parent

Spec = TypeVar("Spec", CellSpec, UtilitySpec)

OnCell = Callable[[str], None]
"""Told what has just been finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSettings:
    """What to measure.

    Raises:
        ConfigError: An unknown scheme or attack, or a number below its least.
    """

    schemes: tuple[str, ...]
    trials: tuple[Trial, ...]
    seeds: int = 3
    """Each casts its own people and draws its own keys."""
    sizes: Sizes = field(default_factory=Sizes)
    workers: int = 2
    utility: bool = True
    """Whether recognition is measured too."""
    utility_epochs: int = 10
    only_finished: bool = False
    """Show the cells that are there; run none."""

    def __post_init__(self) -> None:
        for scheme in self.schemes:
            find_scheme(scheme)
        for trial in self.trials:
            find_attack(trial.attack)
        for name in ("seeds", "workers", "utility_epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}; use 1 or more")
        if not self.schemes or not self.trials:
            raise ConfigError("a board needs at least one scheme and one attack")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardCells:
    """Finished cells, by scheme and column; one entry per seed that was run."""

    attacks: dict[tuple[str, Trial], list[Found]]
    utility: dict[str, list[Found]]


def specs_of(base: CellSpec, settings: BoardSettings) -> list[CellSpec]:
    """Return the cells of a board, the controls of its attacks among them, seed by seed."""
    wanted = [
        (scheme, trial)
        for trial in settings.trials
        for scheme in dict.fromkeys((find_attack(trial.attack).card.control, *settings.schemes))
    ]
    return [
        replace(base, scheme=scheme, trial=trial, seed=seed, sizes=settings.sizes)
        for seed in range(settings.seeds)
        for scheme, trial in wanted
    ]


def num_cells(base: CellSpec, settings: BoardSettings) -> int:
    """Return how many cells a board has, finished ones included."""
    utility = (1 + len(settings.schemes)) * settings.seeds if settings.utility else 0
    return len(specs_of(base, settings)) + utility


def run_board(
    base: CellSpec, settings: BoardSettings, cells: CellStore, *, on_cell: OnCell | None = None
) -> BoardCells:
    """Run every cell that is not there yet, unless only finished ones are wanted; return all.

    Args:
        base: Parties and extractor; its scheme, trial, seed and sizes are not used.
        settings: See there.
        cells: Finished cells are taken from here and kept here.
        on_cell: Told what has just been finished, or was there.

    Raises:
        ConfigError: Only finished cells are wanted and there is none.
        CorruptError: A kept cell is damaged.
        XnnError: Some cells failed; all others were finished first and are kept.
    """
    report = on_cell or (lambda text: None)
    specs = specs_of(base, settings)
    costs = [
        UtilitySpec(
            victim=base.victim,
            extractor=base.extractor,
            scheme=scheme,
            seed=seed,
            epochs=settings.utility_epochs,
        )
        for seed in range(settings.seeds)
        for scheme in ((NOTHING_UPLOADED, *settings.schemes) if settings.utility else ())
    ]
    context = multiprocessing.get_context("spawn")
    found: dict[CellSpec | UtilitySpec, Found] = {}
    if settings.only_finished:
        wanted: list[CellSpec | UtilitySpec] = [*costs, *specs]
        found = {s: one for s in wanted if (one := cells.load(s.facts())) is not None}
        if not found:
            raise ConfigError(
                "none of these cells is finished; run the board without only_finished"
            )
        return _in_order(costs, specs, found)
    with ProcessPoolExecutor(
        settings.workers, mp_context=context, initializer=_start_worker
    ) as pool:
        for cost, one in _run(pool, run_utility_cell, costs, cells):
            found[cost] = one
            report(cost.name)
        for spec, one in _run(pool, run_cell, specs, cells):
            found[spec] = one
            report(spec.name)
    return _in_order(costs, specs, found)


def _in_order(
    costs: Sequence[UtilitySpec],
    specs: Sequence[CellSpec],
    found: Mapping[CellSpec | UtilitySpec, Found],
) -> BoardCells:
    """Return cells in the order of the settings, not of finishing; those not there are left out."""
    board = BoardCells(attacks={}, utility={})
    for cost in costs:
        if cost in found:
            board.utility.setdefault(cost.scheme, []).append(found[cost])
    for spec in specs:
        if spec in found:
            board.attacks.setdefault((spec.scheme, spec.trial), []).append(found[spec])
    return board


def _run(
    pool: ProcessPoolExecutor,
    function: Callable[[Spec], Found],
    specs: Sequence[Spec],
    cells: CellStore,
) -> Iterator[tuple[Spec, Found]]:
    """Yield finished cells as they come, those on disk first; keep every new one at once."""
    waiting: dict[Future[Found], Spec] = {}
    for spec in specs:
        found = cells.load(spec.facts())
        if found is not None:
            yield spec, found
        else:
            waiting[pool.submit(function, spec)] = spec
    failed: list[str] = []
    try:
        for future in as_completed(waiting):
            spec, error = waiting[future], future.exception()
            if error is not None:
                failed.append(f"{spec.name}: {type(error).__name__}: {error}")
                continue
            cells.save(spec.facts(), *future.result())
            yield spec, future.result()
    except BaseException:
        _cancel(waiting)
        raise
    if failed:
        raise XnnError(
            f"{len(failed)} of {len(specs)} cells failed, all others are kept; first: {failed[0]}; "
            "mend it and run the same command again"
        )


def _cancel(futures: Iterable[Future[Found]]) -> None:
    for future in futures:
        future.cancel()


def _start_worker() -> None:
    """Keep every library of a process to one thread: processes side by side would fight for cores.

    Linear algebra in NumPy and SciPy has a pool of its own, which torch's setting does not reach.
    """
    end_with_parent()
    torch.set_num_threads(1)
    threadpool_limits(limits=1)
