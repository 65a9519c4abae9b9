"""Victims in the public set: their photographs are found however they were stored, and left out."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from xnn.redteam.duplicates import copies_in_public
from xnn.redteam.party import Party


def with_copies(public: Party, victim: Party, rows: list[int], seed: int = 0) -> Party:
    """The public party, with some of the victim's photographs in place of its first ones."""
    rng = np.random.default_rng(seed)
    crops, embeddings = public.faces.crops.copy(), public.faces.embeddings.copy()
    lighter = 0.8 * victim.faces.crops[rows].astype(float) + 20 + rng.normal(size=(112, 112, 3))
    crops[: len(rows)] = np.clip(lighter, 0, 255).astype(np.uint8)
    embeddings[: len(rows)] = victim.faces.embeddings[rows] + 0.01
    return replace(public, faces=replace(public.faces, crops=crops, embeddings=embeddings))


def test_a_copy_is_found_though_it_was_stored_anew(make_party: Callable[..., Party]) -> None:
    victim, public = make_party("victim", 1, 8, 4), make_party("public", 2, 10, 4)
    assert len(copies_in_public(victim, public)) == 0
    mixed = with_copies(public, victim, [3, 17, 30])
    assert copies_in_public(victim, mixed).tolist() == [0, 1, 2]
    assert len(mixed.without(np.array([0, 1, 2]))) == len(public) - 3


def test_the_same_picture_of_somebody_else_is_no_copy(make_party: Callable[..., Party]) -> None:
    victim, public = make_party("victim", 1, 8, 4), make_party("public", 2, 10, 4)
    mixed = with_copies(public, victim, [3, 17])
    far = mixed.faces.embeddings.copy()
    far[0] += 10
    other = replace(mixed, faces=replace(mixed.faces, embeddings=far))
    assert copies_in_public(victim, other).tolist() == [1]
