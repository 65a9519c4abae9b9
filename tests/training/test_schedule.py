"""Learning rates against values worked out by hand."""

import itertools

import pytest

from xnn.training.optimizer import lr_at
from xnn.training.presets import adamw, paper
from xnn.training.schedule import paper_lr, smooth_lr

PUBLISHED = [
    *(0.001, 0.0167, 0.0333, 0.05, 0.0488, 0.0453, 0.0399),
    *(0.0331, 0.0255, 0.0179, 0.0111, 0.0057, 0.0022, 0.001),
]


def test_paper_rate_is_the_published_one_epoch_by_epoch() -> None:
    rates = [paper_lr(epoch) for epoch in range(14)]
    assert rates == pytest.approx(PUBLISHED, abs=6e-5)


def test_paper_rate_stays_at_its_floor() -> None:
    assert {paper_lr(epoch) for epoch in range(13, 60)} == {0.001}


def test_paper_preset_changes_its_rate_only_between_epochs() -> None:
    config = paper()
    rates = [lr_at(config, step, steps_per_epoch=5) for step in range(70)]
    assert rates[::5] == pytest.approx(PUBLISHED, abs=6e-5)
    assert all(rates[step] == rates[step - step % 5] for step in range(70))


def test_smooth_rate_climbs_then_falls_to_its_floor() -> None:
    rates = [
        smooth_lr(step, num_steps=20, peak=1.0, floor=0.1, warmup_steps=4) for step in range(20)
    ]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[-1] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[4:]))
    assert rates[12] - 0.55 == pytest.approx(0.55 - rates[11])  # half way down between the two


def test_smooth_preset_ends_at_its_floor() -> None:
    config = adamw(epochs=6)
    assert lr_at(config, 6 * 7 - 1, steps_per_epoch=7) == pytest.approx(config.lr_floor)
