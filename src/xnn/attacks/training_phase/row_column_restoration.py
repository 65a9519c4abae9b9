"""Row and column restoration: tokens in a secret order are put in order by their neighbours.

What the authors tried on permuted rows and columns, here for the tokens of a grid, and behind a
matrix too: places are compared through inner products of whitened tokens, which no matrix changes.
The order is found from the upload alone. Suspects are then recognised by the inner products between
the tokens of one record, which the attacker learns to read on its own faces.

Source: arXiv:2408.04974's research code, script 028; method.md 4.5.
"""

from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.linker import Linker
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.moments import PositionMoments, measure, whitened
from xnn.attacks.statistics.neighbour_order import (
    grid_side,
    grid_symmetries,
    partial_likeness,
    restore_grid,
)
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard

_FEWEST_RECORDS = 20
_MAX_MAPS = 1500
_PRODUCTS = 2
"""Layer of `moments` with the mean inner product of two positions' whitened tokens."""


@final
class RowColumnRestoration(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="row-column-restoration",
        phase="training",
        goal="linkage",
        summary="puts permuted tokens in order by the likeness of neighbours, without public "
        "statistics",
        source="arXiv:2408.04974",
    )

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse where there is no grid, or no one order to restore."""
        if scheme is None or scheme.reads != "features" or scheme.fresh_order or scheme.mixes:
            return "there is no one order of the extractor's tokens to restore"
        if grid_side(observation.records.shape[1]) is None:
            return "the tokens form no square grid"
        if observation.records.shape[1] != observation.shape.n:
            return "records have another number of tokens than features"
        return None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Restore the order, then link by inner products between tokens.

        Raises:
            InsufficientDataError: Too few records or public faces.

        Trust: adversary.
        """
        grid = grid_side(observation.records.shape[1])
        if len(observation.records) < _FEWEST_RECORDS or grid is None:
            raise InsufficientDataError(
                f"{len(observation.records)} records of {observation.records.shape[1]} tokens; "
                f"restoring the order of a grid needs at least {_FEWEST_RECORDS}"
            )
        theirs = measure(observation.records[:_MAX_MAPS])
        place, likeness = _order(theirs, seed)
        public, gallery = observation.public, observation.gallery
        ours = measure(public.tokens[:_MAX_MAPS])
        place = _turned_like(theirs, ours, place)
        products = _products(observation.probe_records, theirs)
        back = np.argsort(place)
        probes = products[:, back][:, :, back]
        known = replace(public, tokens=_products(public.tokens, ours))
        suspects = replace(gallery, tokens=_products(gallery.tokens, ours))
        linker = Linker.fit(known, seed=seed)
        return Answer(
            scores=linker.scores(probes, suspects),
            details={"place": place.tolist(), "neighbour_likeness": round(likeness, 4)},
        )


def _order(theirs: PositionMoments, seed: int) -> tuple[Int64[np.ndarray, " n"], float]:
    """Return the position at each place, up to turning and mirroring the grid.

    The class token, if there is one, is the place least like any other four.
    """
    products = theirs.layers[_PRODUCTS]
    n = len(products)
    tokens = np.arange(n)
    classes = (grid_side(n) or (0, 0))[1]
    place = np.zeros(n, dtype=np.int64)
    if classes:
        scale = np.sqrt(np.maximum(np.diagonal(products), 1e-300))
        alike = products / np.outer(scale, scale) - 2 * np.eye(n)
        tokens = np.delete(tokens, int(np.sort(alike, axis=1)[:, -4:].mean(axis=1).argmin()))
    cells, likeness = restore_grid(partial_likeness(products[np.ix_(tokens, tokens)]), seed=seed)
    place[tokens] = cells + classes
    return place, likeness


def _turned_like(
    theirs: PositionMoments, ours: PositionMoments, place: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """Turn and mirror the restored grid so that its mean inner products look like a face's."""
    side, classes = grid_side(len(place)) or (0, 0)
    best, most = place, -np.inf
    for symmetry in grid_symmetries(side):
        whole = np.concatenate([np.arange(classes, dtype=np.int64), symmetry + classes])
        turned = whole[place]
        expected = ours.layers[0][np.ix_(turned, turned)]
        agreement = float(np.corrcoef(theirs.layers[0].reshape(-1), expected.reshape(-1))[0, 1])
        if agreement > most:
            best, most = turned, agreement
    return best


def _products(
    tokens: Float32[np.ndarray, "b n d"], moments: PositionMoments
) -> Float32[np.ndarray, "b n n"]:
    """Return the inner products between the whitened tokens of each map, as of a map of its own."""
    none: Float64[np.ndarray, "n d"] = np.zeros_like(moments.raw_means)
    white = whitened(tokens, none, moments.whitening)
    return white @ white.transpose(0, 2, 1) / np.float32(white.shape[2])
