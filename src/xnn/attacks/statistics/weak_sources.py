"""Keys as careless programs draw them: from a general-purpose generator and a small seed.

Nobody's global generator is touched. The owner's own keys come from the operating system's CSPRNG,
32 bytes at a time, so none of these can hit one; they are here to find owners who did otherwise.

Source: arXiv:2408.04974's research code (`python-numpy`: Python's generator for the permutation,
NumPy's for the matrix, seeded with 11 or with the clock); the rest is what others would write.
"""

import hashlib
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64

from xnn.schemes import KeyStream
from xnn.schemes.matrices import draw_matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakSource:
    """One way to draw a permutation and a Gaussian matrix from an integer below 2**32."""

    name: str
    order: Callable[[int, int, int], Int64[np.ndarray, " c"]]
    """(seed, n, count) -> the first `count` of the n entries of the permutation."""
    matrix: Callable[[int, int, int, bool], Float64[np.ndarray, "d d"]]
    """(seed, n, d, after a permutation) -> the matrix, entries N(0, 1/d)."""


def unrank_permutation(rank: int, n: int, count: int) -> Int64[np.ndarray, " c"]:
    """Return the first entries of a permutation by its number in the factorial number system.

    Args:
        rank: In 0..n!-1.
        n: Size of the permutation.
        count: Entries wanted.
    """
    left = list(range(n))
    weight = math.factorial(n - 1)
    found = np.empty(count, dtype=np.int64)
    for i in range(count):
        digit, rank = divmod(rank, weight)
        found[i] = left.pop(digit)
        weight //= max(1, n - 1 - i)
    return found


def _python_order(seed: int, n: int, count: int) -> Int64[np.ndarray, " c"]:
    total = math.factorial(n)
    # Both ends are included there, so that the last number stands for the first permutation.
    drawn = random.Random(seed).randint(0, total)  # noqa: S311
    return unrank_permutation(drawn % total, n, count)


def _legacy(seed: int, n: int, permuted: bool) -> np.random.RandomState:
    state = np.random.RandomState(seed)
    if permuted:
        state.permutation(n)
    return state


def _generator(seed: int, n: int, permuted: bool) -> np.random.Generator:
    rng = np.random.default_rng(seed)
    if permuted:
        rng.permutation(n)
    return rng


def _torch_matrix(seed: int, n: int, d: int, permuted: bool) -> Float64[np.ndarray, "d d"]:
    generator = torch.Generator().manual_seed(seed)
    if permuted:
        torch.randperm(n, generator=generator)
    return torch.randn(d, d, generator=generator).double().numpy() / np.sqrt(d)


def _torch_order(seed: int, n: int, count: int) -> Int64[np.ndarray, " c"]:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()[:count]


def _of_stream(name: str, expand: Callable[[int], bytes]) -> WeakSource:
    """Return this project's own recipe under 32 bytes made of a small integer."""

    def order(seed: int, n: int, count: int) -> Int64[np.ndarray, " c"]:
        return KeyStream(expand(seed)).permutation(n)[:count]

    def matrix(seed: int, n: int, d: int, permuted: bool) -> Float64[np.ndarray, "d d"]:
        stream = KeyStream(expand(seed))
        if permuted:
            stream.permutation(n)
        return draw_matrix(stream, d, "gaussian")

    return WeakSource(name=name, order=order, matrix=matrix)


WEAK_SOURCES: tuple[WeakSource, ...] = (
    WeakSource(
        name="python-numpy",
        order=_python_order,
        matrix=lambda seed, n, d, permuted: (
            np.random.RandomState(seed).randn(d, d) / np.sqrt(np.float64(d))
        ),
    ),
    WeakSource(
        name="numpy-legacy",
        order=lambda seed, n, count: np.random.RandomState(seed).permutation(n)[:count],
        matrix=lambda seed, n, d, permuted: (
            _legacy(seed, n, permuted).randn(d, d) / np.sqrt(np.float64(d))
        ),
    ),
    WeakSource(
        name="numpy-generator",
        order=lambda seed, n, count: np.random.default_rng(seed).permutation(n)[:count],
        matrix=lambda seed, n, d, permuted: (
            _generator(seed, n, permuted).normal(size=(d, d)) / np.sqrt(np.float64(d))
        ),
    ),
    WeakSource(name="torch", order=_torch_order, matrix=_torch_matrix),
    _of_stream("stream-integer", lambda seed: seed.to_bytes(32, "big")),
    _of_stream("stream-digest", lambda seed: hashlib.sha256(str(seed).encode()).digest()),
)
