"""Whole fronts over the training of the paper's game, and under Gaussian noise of many powers.

As `noise_curves.py`, on all 16 tokens of 256 in place of a code: at every point a student (ridge to
the teacher) and the attackers are made anew. The game is the preset's but for its batch: 32
photographs in place of 256, so that the 1,900 there are give 59 steps an epoch in place of 7.

Reads FACES; adds its rows to STORE/curves.json, which `noise_curves.py` turns into the result.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from noise_curves import SNR_DB, Kept, facts_of
from noise_games import ROOT, Lab, measured_sent
from xnn.models.noise_generator import NoisyFront
from xnn.owner.noise.finished import new_front
from xnn.owner.noise.game import Game
from xnn.owner.noise.maps import Maps
from xnn.owner.noise.presets import find_noise_preset, shorten
from xnn.owner.noise.steps import StageEvent, Steps

BATCH = 32
AT_ONCE = 64
FACES_FOR_NOISE = 256


def main() -> int:
    """Measure, or skip loudly where there are no faces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--every", type=int, default=2, help="epochs between points")
    parser.add_argument("--public", type=int, default=2000, help="most public photographs")
    parser.add_argument("--store", type=Path, required=True, help="folder for kept features")
    options = parser.parse_args()
    faces = Path(os.environ.get("FACES", ROOT.parent / "shared" / "data"))
    if not (faces / "celeba").is_dir() or not (faces / "lfw").is_dir():
        print(f"SKIPPED: no celeba/ and lfw/ below {faces.name}; set FACES", file=sys.stderr)
        return 0
    lab = Lab(faces, options.seed, options.public, options.store)
    kept, clean = Kept(options.store / "curves.json"), clean_tokens(lab)
    point(kept, lab, options.seed, {"curve": "tokens"}, clean)
    for snr_db in SNR_DB[2:]:
        name = {"curve": "tokens-gaussian", "snr_db": snr_db}
        point(kept, lab, options.seed, name, noised(clean, snr_db, options.seed))
    front, folder = game_front(lab), options.store / f"paper-{options.seed}-{options.epochs}"
    for told, weights in play(lab, front, options.seed, options.epochs, options.every, folder):
        generator = front.generator
        if generator is not None:
            generator.load_state_dict(weights)
        told["noise_of_the_face"] = of_the_face(front.eval(), lab)
        name = {"curve": "tokens-paper", "batch": BATCH, "epochs": options.epochs, **told}
        point(kept, lab, options.seed, name, sent_by(front, lab, clean))
    return 0


def point(kept: Kept, lab: Lab, seed: int, name: dict[str, Any], sent: dict[str, Tensor]) -> None:
    """Measure one point that is missing."""
    name = {"seed": seed, **name}
    if not kept.has(name):
        public = sent["public"]
        kept.add(name | measured_sent(lab, sent, public, seed) | facts_of(lab))


def clean_tokens(lab: Lab) -> dict[str, Tensor]:
    """Return LN_0(E) of the owner's parts and of the public photographs, a row each."""
    faces = lab.own | {"public": lab.public}
    return {
        name: torch.from_numpy(np.ascontiguousarray(one.tokens)).flatten(1)
        for name, one in faces.items()
    }


def noised(clean: dict[str, Tensor], snr_db: float, seed: int) -> dict[str, Tensor]:
    """Return features under fresh noise."""
    generator = torch.Generator().manual_seed(seed)
    scale = 10 ** (-snr_db / 20)
    return {
        name: rows + scale * torch.randn(rows.shape, generator=generator)
        for name, rows in clean.items()
    }


def game_front(lab: Lab) -> NoisyFront:
    """Return the paper's front before its game."""
    return new_front(lab.extractor, find_noise_preset("paper", lab.extractor.card.shape).front)


def play(
    lab: Lab, front: NoisyFront, seed: int, epochs: int, every: int, folder: Path
) -> Iterator[tuple[dict[str, float], dict[str, Tensor]]]:
    """Play the game, or read its finished snapshots; yield G every few epochs.

    At the start z is twice the clean features, so that point is `tokens`.
    """
    settings = find_noise_preset("paper", lab.extractor.card.shape)
    settings = shorten(settings, game_epochs=epochs, batch_size=BATCH, seed=seed)
    generator, game = front.generator, settings.game
    if generator is None or game is None:
        raise SystemExit("the paper's front has a generator and a game")
    snapshots = folder / "snapshots"
    snapshots.mkdir(parents=True, exist_ok=True)

    def keep(event: StageEvent) -> None:
        if event.row is None:
            return
        epoch = round(event.row["epoch"]) + 1
        print(epoch, event.row, flush=True)
        if epoch % every == 0:
            weights = {k: v.contiguous() for k, v in generator.state_dict().items()}
            safetensors.torch.save_file(weights, snapshots / f"{epoch}.safetensors")

    train = lab.parts["train"].samples
    stage = Game(front, Maps(train, lab.extractor, front.lower), game)
    result = Steps(stage, folder / "game", {"batch": BATCH}, seed=seed, on_event=keep).run()
    for row in result.rows:
        epoch = round(row["epoch"]) + 1
        if epoch % every == 0:
            told = {
                "step": round(row["step"]),
                "tail_loss": round(row["tail_loss"], 3),
                "guessing_loss": round(result.chance_loss, 3),
                "noise_rms": round(row["noise_rms"], 3),
            }
            yield told, safetensors.torch.load_file(snapshots / f"{epoch}.safetensors")


@torch.no_grad()
def of_the_face(front: NoisyFront, lab: Lab) -> float:
    """Return the share of the noise's root mean square that differs from face to face.

    Over some test photographs; of the clean features' own it is about 0.4. A noise that is the same
    for everybody hides nothing.
    """
    generator = front.generator
    if generator is None:
        return 0.0
    crops = np.array(lab.own["test_by_person"].crops[:FACES_FOR_NOISE])
    parts = torch.split(torch.from_numpy(crops), AT_ONCE)
    noise = torch.cat([generator(front.lower(lab.extractor.prepare(part))) for part in parts])
    differing = noise - noise.mean(0, keepdim=True)
    return round(float(differing.square().mean().sqrt() / noise.square().mean().sqrt()), 5)


@torch.no_grad()
def sent_by(front: NoisyFront, lab: Lab, clean: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return z of all photographs."""
    faces = lab.own | {"public": lab.public}
    shape = front.shape
    found = {}
    for name, one in faces.items():
        tokens, parts = clean[name].reshape(-1, shape.n, shape.d), []
        for start in range(0, len(tokens), AT_ONCE):
            crops = torch.from_numpy(np.array(one.crops[start : start + AT_ONCE]))
            x = front.lower(lab.extractor.prepare(crops))
            parts.append(front.add_noise(x, tokens[start : start + AT_ONCE]).flatten(1))
        found[name] = torch.cat(parts)
    return found


if __name__ == "__main__":
    sys.exit(main())
