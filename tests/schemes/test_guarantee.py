"""The bounds against closed forms and against a channel that reaches them."""

import math

import numpy as np
import pytest
from scipy import stats

from xnn.errors import ConfigError
from xnn.schemes.guarantee import (
    Guarantee,
    channel_bits,
    channel_guarantee,
    gaussian_epsilon,
)


def stated(bits: float) -> Guarantee:
    return Guarantee(bits=bits, epsilon=None, delta=None, noise_ratio=1.0, sentence="")


def test_capacity_is_shannons() -> None:
    assert channel_bits(2, 1.0) == pytest.approx(1.0)
    assert channel_bits(256, 30.0) == pytest.approx(128 * math.log2(1 + 1 / 900))


@pytest.mark.parametrize("num_people", [2, 10, 1000])
def test_fano_is_tight_where_it_is_known(num_people: int) -> None:
    assert stated(0.0).rank_1_at_most(num_people) == pytest.approx(1 / num_people, abs=1e-6)
    assert stated(math.log2(num_people)).rank_1_at_most(num_people) == pytest.approx(1.0, abs=1e-6)
    rates = [stated(bits).rank_1_at_most(num_people) for bits in np.linspace(0, 3, 7)]
    assert rates == sorted(rates)


def test_the_best_guesser_stays_below_the_bound() -> None:
    """Four people as corners of a cross in noise: the best guess, simulated, against Fano."""
    generator = np.random.default_rng(0)
    people = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    for ratio in (0.7, 1.5, 4.0):
        power = math.sqrt(1 / 2)  # RMS per coordinate of these points
        who = generator.integers(0, 4, size=40_000)
        seen = people[who] + generator.normal(size=(40_000, 2)) * ratio * power
        rate = np.mean(np.argmax(seen @ people.T, axis=1) == who)
        assert rate <= stated(channel_bits(2, ratio)).rank_1_at_most(4) + 0.01


def test_one_person_is_no_choice() -> None:
    with pytest.raises(ConfigError, match="num_people=1"):
        stated(1.0).rank_1_at_most(1)


@pytest.mark.parametrize("sensitivity", [0.1, 1.0, 5.0, 30.0])
def test_epsilon_solves_the_exact_condition(sensitivity: float) -> None:
    d, delta = sensitivity, 1e-6
    e = gaussian_epsilon(d, delta)
    left = stats.norm.logcdf(d / 2 - e / d)
    right = e + stats.norm.logcdf(-d / 2 - e / d)
    assert np.exp(left) - np.exp(right) == pytest.approx(delta, rel=1e-6)
    assert e <= d * math.sqrt(2 * math.log(1.25 / delta)) or e > 1, "no worse than the classic one"


def test_more_noise_promises_more() -> None:
    stated = [channel_guarantee(256, ratio) for ratio in (1.0, 4.0, 16.0)]
    assert [g.bits for g in stated] == sorted((g.bits for g in stated), reverse=True)
    epsilons = [g.epsilon or 0.0 for g in stated]
    assert epsilons == sorted(epsilons, reverse=True)
    assert gaussian_epsilon(1e-9, 1e-6) == 0.0
