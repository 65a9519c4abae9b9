"""When to stop a game: measured with a student and attackers that are made anew for the noise.

The losses of a game do not tell (docs/research/noise.md). So every few epochs a fresh student and
fresh attackers learn from z of the training people as it is then, to their end, and are tried on
the validation people.

    student    a ridge regression from z to the teacher's embedding; z is matched with z
    linkage    a ridge regression from z to what the public extractor gives of the photograph;
               z is matched with clean photographs
    untrained  z is matched with z as it is

The attackers learn from the owner's own photographs, under other targets than the teacher's: nobody
outside has faces as near to the victims'.
"""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from xnn.metrics import cosine_scores, gallery_and_probes, rank_k
from xnn.models.noise_generator import NoisyFront
from xnn.owner.noise.distil import Teacher, embed_sent
from xnn.owner.noise.maps import Maps
from xnn.training.validate import mean_rank_1

Row = dict[str, float]
LEAST_OF_TEACHER = 0.95
"""Share of the teacher's rank-1 below which a student is no use, however little leaks."""
_RIDGE = 0.3
"""Share of the mean squared length of a record."""


@final
class FreshPlayers:
    """Measures a front on validation people.

    Args:
        front: In training; its mode is restored afterwards.
        teacher: Of stage 1.
        maps: Of the training people.
        val_maps: Of the validation people.

    Trust: owner.
    """

    def __init__(self, front: NoisyFront, teacher: Teacher, maps: Maps, val_maps: Maps) -> None:
        self._front, self._maps, self._val_maps = front, maps, val_maps
        train, val = _clean(front, maps), _clean(front, val_maps)
        self._wanted = F.normalize(embed_sent(teacher.tail, train))
        self._public, self._photographs = train.mean(1), val.mean(1)
        self._labels = val_maps.labels
        taught = embed_sent(teacher.tail, val).numpy()
        self._teacher = mean_rank_1(taught, self._labels)

    @torch.no_grad()
    def measure(self) -> Row:
        """Return rank-1 of teacher, student and attackers."""
        was_training = self._front.training
        self._front.eval()
        sent, val = _sent(self._front, self._maps), _sent(self._front, self._val_maps)
        self._front.train(was_training)
        centred, seen = sent - sent.mean(0), val - sent.mean(0)
        weights = _dual(centred, torch.cat([_centred(self._wanted), _centred(self._public)], 1))
        found = (seen @ centred.T) @ weights
        split = self._wanted.shape[1]
        student, linked = found[:, :split], found[:, split:]
        return {
            "fresh_teacher": self._teacher,
            "fresh_student": mean_rank_1(student.numpy(), self._labels),
            "fresh_linkage": self._linkage(linked),
            "fresh_untrained": mean_rank_1(seen.numpy(), self._labels),
        }

    def _linkage(self, found: Float[Tensor, "v d"]) -> float:
        gallery, probes = gallery_and_probes(self._labels)
        photographs = (self._photographs - self._public.mean(0)).numpy()
        scores = cosine_scores(found.numpy()[probes], photographs[gallery])
        return rank_k(scores, self._labels[probes], self._labels[gallery])


def stopping_score(row: Row) -> float | None:
    """Return what the epoch to stop at has most of; None where nothing was measured.

    The lead of the student over the strongest attacker, among epochs whose student is of use; the
    others come after all of those.
    """
    if "fresh_student" not in row:
        return None
    student = row["fresh_student"]
    lead = student - max(row["fresh_linkage"], row["fresh_untrained"])
    of_use = student >= LEAST_OF_TEACHER * row["fresh_teacher"]
    return lead if of_use else lead - 2


def _clean(front: NoisyFront, maps: Maps) -> Float[Tensor, "r n d"]:
    return torch.cat([front.clean(x) for x in maps.walk()])


def _sent(front: NoisyFront, maps: Maps) -> Float[Tensor, "r f"]:
    parts = (front.add_noise(x, front.clean(x)) for x in maps.walk())
    return torch.cat([z.flatten(1) for z in parts])


def _centred(rows: Float[Tensor, "r k"]) -> Float[Tensor, "r k"]:
    return rows - rows.mean(0)


def _dual(records: Float[Tensor, "r f"], wanted: Float[Tensor, "r k"]) -> Float[Tensor, "r k"]:
    """Return the weight of every record in a ridge regression."""
    products = (records @ records.T).double()
    products.diagonal().add_(_RIDGE * products.diagonal().mean())
    return torch.linalg.solve(products, wanted.double()).float()
