"""Settings: what is refused, and in which words."""

import pytest

from xnn.errors import ConfigError
from xnn.training.config import OPERATIONAL
from xnn.training.presets import PRESETS, TAIL_PRESETS, adamw, paper


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs=0: use 1 or more"),
        ({"batch_size": -1}, "batch_size=-1"),
        ({"lr": 0.0}, "rate above 0"),
        ({"lr": float("nan")}, "rate above 0"),
        ({"lr_floor": 1.0}, r"use 0\.\.lr"),
        ({"momentum": 1.0}, r"fraction in \[0, 1\)"),
        ({"ema_decay": 1.0}, r"fraction in \[0, 1\)"),
        ({"head": "softmax"}, "use one of am-softmax"),
        ({"optimizer": "lion"}, "use one of sgd, adamw"),
        ({"precision": "fp8"}, "use one of auto"),
        ({"patience": 0}, "use None or above 0"),
        ({"warmup_epochs": 10}, "use fewer than epochs"),
        ({"devices": 3}, "does not divide over devices=3"),
    ],
)
def test_bad_settings_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        adamw(**changes)


def test_every_preset_is_valid_and_takes_changes() -> None:
    for make in PRESETS.values():
        assert make(seed=5).seed == 5


def test_one_epoch_leaves_no_room_for_a_warm_up() -> None:
    assert adamw(epochs=1).warmup_epochs == 0


def test_every_preset_has_its_tail() -> None:
    assert TAIL_PRESETS.keys() == PRESETS.keys()
    for make in TAIL_PRESETS.values():
        assert make(16, 256, read_out="index0").output_dim == 256
    assert TAIL_PRESETS["paper"](197, 768).tail_depth == 6


def test_the_paper_preset_is_the_papers() -> None:
    config = paper()
    found = (config.optimizer, config.momentum, config.weight_decay, config.batch_size, config.head)
    assert found == ("sgd", 0.9, 0.0, 256, "am-softmax")


def test_operational_settings_exist() -> None:
    assert set(OPERATIONAL) < adamw().to_dict().keys()
