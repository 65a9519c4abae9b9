"""One step of the game against the same step written out."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from xnn.errors import ConfigError
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet
from xnn.owner.noise.distil import Distillation, Teacher
from xnn.owner.noise.finished import new_front
from xnn.owner.noise.game import Game
from xnn.owner.noise.maps import Maps
from xnn.training.loop import new_tail_and_head


@pytest.fixture(scope="module")
def maps(faces: FaceSet, dlib: Extractor) -> Maps:
    samples = faces.only("train").samples
    return Maps(samples, dlib, dlib.divide(11).lower)


def test_maps_computed_when_read_are_the_kept_ones(
    faces: FaceSet, dlib: Extractor, maps: Maps
) -> None:
    lower = dlib.divide(11).lower
    fresh = Maps(faces.only("train").samples, dlib, lower, cache_bytes=0)
    rows = np.array([3, 0, 5])
    assert torch.allclose(maps.read(rows), fresh.read(rows), atol=1e-5)
    mirrored = Maps(faces.only("train").samples, dlib, lower, mirror=True)
    assert len(mirrored) == 2 * len(maps)
    late = rows + len(maps)
    assert torch.allclose(mirrored.read(late), mirrored.read_fresh(late), atol=1e-5)
    assert not torch.allclose(mirrored.read(late), maps.read(rows), atol=1e-2)


def test_a_step_moves_generator_then_tail_as_written_out(
    maps: Maps, dlib: Extractor, make_settings
) -> None:
    settings = make_settings("paper")
    assert settings.game is not None
    lr = 0.02 * 0.05  # the first epoch of the warm-up
    front = new_front(dlib, settings.front)
    game = Game(front, maps, settings.game)
    slow_front, slow_tail = copy.deepcopy(front), copy.deepcopy(game.adversary)
    rows = np.arange(6)
    frozen = {n: p.clone() for n, p in front.named_parameters() if not p.requires_grad}

    game.step(0, rows)

    x, labels = maps.read(rows), torch.from_numpy(maps.labels[rows])
    with torch.no_grad():
        clean = torch.nn.functional.layer_norm(front.upper(x), (dlib.card.d,), eps=1e-6)
    assert slow_front.generator is not None
    loss = -0.7 * slow_tail(clean + slow_front.generator(x), labels)
    weights = list(slow_front.generator.parameters())
    for p, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        p.data -= lr * gradient
    with torch.no_grad():
        z = clean + slow_front.generator(x)
    weights = list(slow_tail.parameters())
    gradients = torch.autograd.grad(0.3 * slow_tail(z, labels), weights)
    for p, gradient in zip(weights, gradients, strict=True):
        p.data -= lr * gradient

    assert front.generator is not None
    for fast, slow in ((front.generator, slow_front.generator), (game.adversary, slow_tail)):
        for p, q in zip(fast.parameters(), slow.parameters(), strict=True):
            assert torch.allclose(p, q, atol=1e-6)
    for name, p in front.named_parameters():
        if name in frozen:
            assert torch.equal(p, frozen[name]), name


def test_a_front_without_a_generator_has_no_game(
    maps: Maps, dlib: Extractor, make_settings
) -> None:
    game = make_settings("paper").game
    assert game is not None
    with pytest.raises(ConfigError, match="no game"):
        Game(new_front(dlib, make_settings("plain").front), maps, game)


@pytest.mark.parametrize("weights", [{"generator_weight": 0.7}, {"tail_weight": -0.3}])
def test_weights_of_the_wrong_sign_are_refused(make_settings, weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="below 0"):
        dataclasses.replace(make_settings("paper").game, **weights)


def test_the_margin_cancels_in_the_distillation(maps: Maps, dlib: Extractor, make_settings) -> None:
    settings = make_settings("paper")
    front = new_front(dlib, settings.front)
    tail, head = new_tail_and_head(settings.teacher_tail, 4, settings.teacher)
    teacher = Teacher(tail=tail.eval(), head=head)
    stage = Distillation(front, teacher, maps, None, settings.student)
    student = copy.deepcopy(stage.student)
    rows = np.arange(6)
    loss = stage.step(0, rows)["loss"]
    with torch.no_grad():
        x = maps.read(rows)
        theirs = head.cosines(tail(front.clean(x)))
        ours = student.head.cosines(student.tail(front.add_noise(x, front.clean(x))))
    assert loss.item() == pytest.approx(float(32**2 * (ours - theirs).square().mean()), rel=1e-4)
