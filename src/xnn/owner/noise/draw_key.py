"""The secret of a coupled front: drawn once for a device and its server, from the system's CSPRNG.

Trust: owner. Device and server bundles hold what is drawn here; nothing else does.
"""

import math

import torch

from xnn.models.coupling import Coupling
from xnn.schemes import KeyStream
from xnn.schemes.matrices import draw_matrix


def draw_coupling(coupling: Coupling, stream: KeyStream) -> None:
    """Fill a coupling with a key."""
    rounds, half = coupling.phases.shape
    coupling.mixing.copy_(torch.from_numpy(draw_matrix(stream, 2 * half, "haar")))
    for i in range(rounds):
        weights = stream.normals(half * half).reshape(half, half) / math.sqrt(half)
        coupling.weights[i].copy_(torch.from_numpy(weights))
        turns = stream.uint64(half) >> 11  # 53 bits: exact in float64
        coupling.phases[i].copy_(torch.from_numpy(turns * (2 * math.pi / (1 << 53))))
        coupling.turns[i].copy_(torch.from_numpy(draw_matrix(stream, half, "haar")))
