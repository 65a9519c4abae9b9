"""Chance levels against scores that know nothing."""

import numpy as np
import pytest

from xnn.errors import ConfigError
from xnn.metrics import (
    CHANCE_EER,
    chance_rank_k,
    chance_tar,
    equal_error_rate,
    rank_k,
    tar_at_far,
)


def test_random_scores_reach_the_chance_levels() -> None:
    generator = np.random.default_rng(0)
    mated, non_mated = generator.normal(size=20_000), generator.normal(size=20_000)
    assert equal_error_rate(mated, non_mated) == pytest.approx(CHANCE_EER, abs=0.02)
    assert tar_at_far(mated, non_mated, far=0.1) == pytest.approx(chance_tar(far=0.1), abs=0.02)
    labels = np.arange(20)
    probes = generator.integers(0, 20, 20_000)
    scores = generator.normal(size=(20_000, 20))
    expected = chance_rank_k(gallery_size=20, k=3)
    assert rank_k(scores, probes, labels, k=3) == pytest.approx(expected, abs=0.02)


@pytest.mark.usefixtures("as_in_production")
def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"k=4 is outside 1..3"):
        chance_rank_k(gallery_size=3, k=4)
    with pytest.raises(ConfigError, match="far=2"):
        chance_tar(far=2.0)
