"""Margin heads: training layers that push the faces of one subject together.

Two formulas, three published names:

    am-softmax   s (cos t - m)      s 32, m 0.35   the paper's
    cosface      s (cos t - m)      s 64, m 0.35   the same formula, published twice
    arcface      s cos(t + m)       s 64, m 0.50

with t the angle between an embedding and the weight of its own class. Other classes keep s cos t.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from xnn.errors import ConfigError

_EDGE = 1e-6
"""Cosines are kept this far from -1 and 1 where an angle is taken: its slope is infinite there."""


def subtract_from_cosine(cosines: Float[Tensor, " b"], margin: float) -> Float[Tensor, " b"]:
    """Return cos t - m.

    Source: Wang et al., AM-Softmax, arXiv:1801.05599; Wang et al., CosFace, arXiv:1801.09414.
    """
    return cosines - margin


def add_to_angle(cosines: Float[Tensor, " b"], margin: float) -> Float[Tensor, " b"]:
    """Return cos(t + m), continued by a line where t + m would pass pi.

    Past pi the cosine rises again and would reward a worse angle, so from there on the line
    cos t - m sin m is taken, which keeps falling with t.

    Source: Deng et al., ArcFace, arXiv:1801.07698.
    """
    safe = cosines.clamp(-1 + _EDGE, 1 - _EDGE)
    sines = (1 - safe.square()).sqrt()
    shifted = safe * math.cos(margin) - sines * math.sin(margin)
    return torch.where(cosines > -math.cos(margin), shifted, cosines - margin * math.sin(margin))


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """A margin formula and its published defaults."""

    apply: Callable[[Tensor, float], Tensor]
    scale: float
    margin: float


MARGINS = {
    "am-softmax": Margin(apply=subtract_from_cosine, scale=32.0, margin=0.35),
    "cosface": Margin(apply=subtract_from_cosine, scale=64.0, margin=0.35),
    "arcface": Margin(apply=add_to_angle, scale=64.0, margin=0.5),
}


@final
class MarginHead(nn.Module):
    """Class weights, and the loss that trains a tail with a margin between classes.

    Args:
        embedding_dim: Width of the embeddings.
        num_classes: Subjects in the training split, at least 2.
        kind: A name of `MARGINS`.
        scale: Multiplies the cosines; None takes the published value.
        margin: Of the formula, in cosine or radians; None takes the published value.
        generator: Source of the initial class weights (Xavier uniform).

    Raises:
        ConfigError: A setting is out of range.

    Trust: cloud. It sees labels as class indices, never subjects.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_classes: int,
        *,
        kind: str = "am-softmax",
        scale: float | None = None,
        margin: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if kind not in MARGINS:
            raise ConfigError(f"head {kind!r} is unknown; use one of {', '.join(MARGINS)}")
        if num_classes < 2 or embedding_dim < 1:
            raise ConfigError(
                f"a head for {num_classes} classes of width {embedding_dim}; "
                "training needs at least 2 subjects and width 1"
            )
        self.kind = kind
        self.scale = MARGINS[kind].scale if scale is None else scale
        self.margin = MARGINS[kind].margin if margin is None else margin
        if not 0 < self.scale < math.inf or not 0 <= self.margin < 1:
            raise ConfigError(
                f"scale={self.scale:g}, margin={self.margin:g}; use a scale above 0 "
                "and a margin in [0, 1)"
            )
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_dim))
        nn.init.xavier_uniform_(self.weight, generator=generator)

    @torch.no_grad()
    def imprint(self, embeddings: Float[Tensor, "b e"], labels: Int64[Tensor, " b"]) -> None:
        """Set each class weight to the mean direction of its embeddings, of length 1.

        Training then starts from what the tail knows already, instead of pulling it towards random
        directions first. A class without a record keeps its weight.

        Source: Qi et al., Low-shot learning with imprinted weights, arXiv:1712.07136.
        """
        sums = torch.zeros_like(self.weight)
        sums.index_add_(0, labels, functional.normalize(embeddings).to(sums.dtype))
        present = sums.norm(dim=1) > 0
        self.weight[present] = functional.normalize(sums[present])

    def cosines(self, embeddings: Float[Tensor, "b e"]) -> Float[Tensor, "b c"]:
        """Return the cosine of every embedding with every class weight, in float32."""
        with torch.autocast(embeddings.device.type, enabled=False):
            unit = functional.normalize(embeddings.float())
            return unit @ functional.normalize(self.weight.float()).T

    def forward(
        self, embeddings: Float[Tensor, "b e"], labels: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b c"]:
        """Return scaled logits, the margin taken off the entry of each record's own class."""
        cosines = self.cosines(embeddings)
        own = cosines.gather(1, labels[:, None])[:, 0]
        with_margin = MARGINS[self.kind].apply(own, self.margin)
        return self.scale * cosines.scatter(1, labels[:, None], with_margin[:, None])

    def loss(
        self, embeddings: Float[Tensor, "b e"], labels: Int64[Tensor, " b"]
    ) -> Float[Tensor, ""]:
        """Return the mean cross-entropy over the batch."""
        return functional.cross_entropy(self(embeddings, labels), labels)

    def chance_loss(self) -> float:
        """Return the loss when every cosine is 0: what a tail that knows nothing pays.

        With the paper's head this is s m + ln(C - 1 + e^(-s m)), 20.32 for 9,177 classes.
        """
        return chance_loss(len(self.weight), kind=self.kind, scale=self.scale, margin=self.margin)


def chance_loss(
    num_classes: int,
    *,
    kind: str = "am-softmax",
    scale: float | None = None,
    margin: float | None = None,
) -> float:
    """Return the loss of a head whose cosines are all 0; see `MarginHead.chance_loss`."""
    formula = MARGINS[kind]
    scale = formula.scale if scale is None else scale
    margin = formula.margin if margin is None else margin
    right_angle = torch.zeros(1, dtype=torch.float64)
    drop = -scale * float(formula.apply(right_angle, margin))
    return drop + math.log(num_classes - 1 + math.exp(-drop))
