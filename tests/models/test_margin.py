"""Margin heads against angles worked out by hand in the plane."""

import math

import pytest
import torch

from xnn.errors import ConfigError
from xnn.models.margin import MarginHead, add_to_angle, chance_loss

AXES = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


def head_in_the_plane(kind: str) -> MarginHead:
    head = MarginHead(2, 2, kind=kind)
    with torch.no_grad():
        head.weight.copy_(3 * AXES)  # length must not matter
    return head


def at_degrees(angle: float, length: float = 1.0) -> torch.Tensor:
    radians = math.radians(angle)
    return length * torch.tensor([[math.cos(radians), math.sin(radians)]])


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("am-softmax", 32 * (math.cos(math.pi / 6) - 0.35)),
        ("cosface", 64 * (math.cos(math.pi / 6) - 0.35)),
        ("arcface", 64 * math.cos(math.pi / 6 + 0.5)),
    ],
)
def test_logits_at_thirty_degrees(kind: str, own: float) -> None:
    head = head_in_the_plane(kind)
    logits = head(at_degrees(30, length=7), torch.tensor([0]))
    other = head.scale * math.cos(math.pi / 3)
    assert logits[0].tolist() == pytest.approx([own, other], rel=1e-5)
    by_hand = math.log(math.exp(own - own) + math.exp(other - own))
    assert float(head.loss(at_degrees(30, length=7), torch.tensor([0])).detach()) == pytest.approx(
        by_hand, abs=1e-5
    )


def test_arcface_keeps_falling_past_pi() -> None:
    angles = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    values = add_to_angle(angles.cos(), 0.5)
    assert (values.diff() < 0).all()
    before = angles < math.pi - 0.5
    inside = before & (angles > 0.01)
    assert torch.allclose(values[inside], (angles[inside] + 0.5).cos(), atol=1e-9)


@pytest.mark.parametrize("kind", ["am-softmax", "cosface", "arcface"])
@pytest.mark.parametrize("angle", [0.0, 180.0])
def test_gradients_are_finite_at_the_ends(kind: str, angle: float) -> None:
    head = head_in_the_plane(kind)
    embedding = at_degrees(angle).requires_grad_()
    head.loss(embedding, torch.tensor([0])).backward()
    assert embedding.grad is not None
    assert embedding.grad.isfinite().all()
    assert head.weight.grad is not None
    assert head.weight.grad.isfinite().all()


def test_chance_loss_is_the_loss_at_right_angles() -> None:
    assert chance_loss(9177) == pytest.approx(20.32, abs=0.005)
    for kind in ("am-softmax", "cosface", "arcface"):
        head = MarginHead(4, 3, kind=kind)
        with torch.no_grad():
            head.weight.copy_(torch.eye(4)[:3])
        blind = torch.eye(4)[3:]
        loss = head.loss(blind, torch.tensor([1])).item()
        assert head.chance_loss() == pytest.approx(loss, rel=1e-5)


def test_mixed_precision_does_not_touch_the_cosines() -> None:
    head = MarginHead(64, 5)
    embeddings = torch.randn(8, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head.cosines(embeddings), head.cosines(embeddings.clone()))
        inside = head.cosines(embeddings)
    assert torch.equal(inside, head.cosines(embeddings))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "softmax"}, "use one of am-softmax"),
        ({"scale": 0.0}, "scale above 0"),
        ({"margin": 1.5}, r"margin in \[0, 1\)"),
    ],
)
def test_bad_settings_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        MarginHead(8, 4, **settings)


def test_one_class_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2 subjects"):
        MarginHead(8, 1)


def test_imprinted_weights_are_the_mean_directions() -> None:
    head = MarginHead(2, 3)
    kept = head.weight[2].clone()
    head.imprint(torch.tensor([[2.0, 0.0], [0.0, 5.0], [0.0, 1.0]]), torch.tensor([0, 0, 1]))
    diagonal = math.sqrt(0.5)
    expected = torch.tensor([[diagonal, diagonal], [0.0, 1.0], kept.tolist()])
    torch.testing.assert_close(head.weight.detach(), expected)
