"""Make faces/detection/weights/mtcnn.safetensors from the files of facenet-pytorch 2.6.0.

    python benchmarks/convert_mtcnn.py ../shared/weights/mtcnn

The folder holds pnet.pt, rnet.pt and onet.pt. Tensors are renamed, and the first dense layer of
the refinement and landmark nets has its inputs reordered from (width, height, channel) to
(channel, height, width), so that flattening needs no permutation. Values are unchanged.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from xnn.faces.detection.mtcnn import WEIGHTS_PATH, Mtcnn
from xnn.files import sha256_of_file

# Their layer -> ours; the number is the position in `body`.
NETS = {
    "proposal": (
        "pnet.pt",
        {"conv1": "body.0", "prelu1": "body.1", "conv2": "body.3", "prelu2": "body.4"}
        | {"conv3": "body.5", "prelu3": "body.6", "conv4_1": "face", "conv4_2": "box"},
    ),
    "refinement": (
        "rnet.pt",
        {"conv1": "body.0", "prelu1": "body.1", "conv2": "body.3", "prelu2": "body.4"}
        | {"conv3": "body.6", "prelu3": "body.7", "dense4": "body.9", "prelu4": "body.10"}
        | {"dense5_1": "face", "dense5_2": "box"},
    ),
    "landmark": (
        "onet.pt",
        {"conv1": "body.0", "prelu1": "body.1", "conv2": "body.3", "prelu2": "body.4"}
        | {"conv3": "body.6", "prelu3": "body.7", "conv4": "body.9", "prelu4": "body.10"}
        | {"dense5": "body.12", "prelu5": "body.13"}
        | {"dense6_1": "face", "dense6_2": "box", "dense6_3": "landmarks"},
    ),
}
FLATTENED = {"dense4": (3, 3, 64), "dense5": (3, 3, 128)}


def main(source: Path) -> None:
    weights: dict[str, Tensor] = {}
    for net, (file_name, names) in NETS.items():
        theirs = torch.load(source / file_name, map_location="cpu", weights_only=True)
        for name, tensor in theirs.items():
            layer, kind = name.rsplit(".", 1)
            if layer in FLATTENED and kind == "weight":
                tensor = tensor.unflatten(1, FLATTENED[layer]).permute(0, 3, 2, 1).flatten(1)
            weights[f"{net}.{names[layer]}.{kind}"] = tensor.contiguous()
    Mtcnn().load_state_dict(weights)  # strict: every tensor has its place
    WEIGHTS_PATH.parent.mkdir(exist_ok=True)
    save_file(weights, WEIGHTS_PATH)
    print(f"{len(weights)} tensors, sha256 {sha256_of_file(WEIGHTS_PATH)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
