"""The three small nets of MTCNN in torch: what the owner runs, and what is exported."""

from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32
from safetensors.torch import load_file
from torch import Tensor, nn

from xnn.errors import CorruptError
from xnn.faces.detection.nets import NUM_LANDMARKS, Judged, Placed
from xnn.files import sha256_of_file

WEIGHTS_PATH = Path(__file__).parent / "weights" / "mtcnn.safetensors"
WEIGHTS_SHA256 = "9e0c9bce00812b88f6c13eff55701e7c06388cb10094262638e514013396b1ce"


@final
class ProposalNet(nn.Module):
    """Slide a 12 px window over an image of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_stage(3, 10, 3),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            *_stage(10, 16, 3),
            *_stage(16, 32, 3),
        )
        self.face = nn.Conv2d(32, 2, 1)
        self.box = nn.Conv2d(32, 4, 1)

    def forward(
        self, image: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b y x"], Float[Tensor, "b 4 y x"]]:
        """Return the probability of a face in every cell, and box offsets in window sides.

        Args:
            image: RGB, (value - 127.5) / 128.
        """
        hidden = self.body(image)
        return self.face(hidden).softmax(dim=1)[:, 1], self.box(hidden)


@final
class RefinementNet(nn.Module):
    """Judge 24 px patches and correct their boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_stage(3, 28, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_stage(28, 48, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_stage(48, 64, 2),
            nn.Flatten(),
            nn.Linear(576, 128),
            nn.PReLU(128),
        )
        self.face = nn.Linear(128, 2)
        self.box = nn.Linear(128, 4)

    def forward(
        self, patches: Float[Tensor, "b 3 24 24"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b 4"]]:
        """Return the probability of a face, and box offsets in box sides."""
        hidden = self.body(patches)
        return self.face(hidden).softmax(dim=1)[:, 1], self.box(hidden)


@final
class LandmarkNet(nn.Module):
    """Judge 48 px patches, correct their boxes and place five landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_stage(3, 32, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_stage(32, 64, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_stage(64, 64, 3),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            *_stage(64, 128, 2),
            nn.Flatten(),
            nn.Linear(1152, 256),
            nn.PReLU(256),
        )
        self.face = nn.Linear(256, 2)
        self.box = nn.Linear(256, 4)
        self.landmarks = nn.Linear(256, 2 * NUM_LANDMARKS)

    def forward(
        self, patches: Float[Tensor, "b 3 48 48"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b 4"], Float[Tensor, "b 5 2"]]:
        """Return the probability of a face, box offsets, and landmarks as (x, y) in box sides.

        The landmarks are the left and right eye as seen by the viewer, the tip of the nose, and
        the left and right corner of the mouth.
        """
        hidden = self.body(patches)
        x, y = self.landmarks(hidden).chunk(2, dim=1)
        face = self.face(hidden).softmax(dim=1)[:, 1]
        return face, self.box(hidden), torch.stack([x, y], dim=2)


@final
class Mtcnn(nn.Module):
    """The three nets together, as they lie in one file of weights.

    Source: Zhang et al., Joint Face Detection and Alignment Using Multi-task Cascaded
        Convolutional Networks, arXiv:1604.02878; weights: see weights/NOTICE.txt.
    """

    def __init__(self) -> None:
        super().__init__()
        self.proposal = ProposalNet()
        self.refinement = RefinementNet()
        self.landmark = LandmarkNet()


@final
class TorchNets:
    """See `DetectorNets`; on the processor, in float32."""

    def __init__(self, nets: Mtcnn | None = None) -> None:
        self._nets = nets or load_mtcnn()

    @torch.inference_mode()
    def propose(self, image: Float32[np.ndarray, "1 3 h w"]) -> Judged:
        """See `DetectorNets`."""
        face, offsets = self._nets.proposal(torch.from_numpy(image))
        return face.numpy(), offsets.numpy()

    @torch.inference_mode()
    def refine(self, patches: Float32[np.ndarray, "b 3 24 24"]) -> Judged:
        """See `DetectorNets`."""
        face, offsets = self._nets.refinement(torch.from_numpy(patches))
        return face.numpy(), offsets.numpy()

    @torch.inference_mode()
    def place(self, patches: Float32[np.ndarray, "b 3 48 48"]) -> Placed:
        """See `DetectorNets`."""
        face, offsets, points = self._nets.landmark(torch.from_numpy(patches))
        return face.numpy(), offsets.numpy(), points.numpy()


def load_mtcnn() -> Mtcnn:
    """Load the nets with the weights that ship in the package, ready for inference.

    Raises:
        CorruptError: The file of weights is not the one that was shipped.
        StorageError: It cannot be read.
    """
    if sha256_of_file(WEIGHTS_PATH) != WEIGHTS_SHA256:
        raise CorruptError(f"{WEIGHTS_PATH.name!r} was altered; install xnn-face again")
    nets = Mtcnn()
    nets.load_state_dict(load_file(WEIGHTS_PATH))
    return nets.eval().requires_grad_(False)


def _stage(inputs: int, outputs: int, kernel: int) -> tuple[nn.Conv2d, nn.PReLU]:
    return nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)
