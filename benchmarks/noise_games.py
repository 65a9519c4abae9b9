"""Games with a utility term: does any noise part the student from an attacker that may query?

On the 64-number code of docs/research/noise.md, where a game takes a minute, so that budgets of
noise and weights of the attackers can be varied. G and a student are trained together against
three attackers of depth 1 to 3, one of which is replaced by a fresh one every 150 steps:

    loss of G and student = (1 - cos(student(z), teacher)) + weight * mean attacker's cosine
    z = LN(code) + scale * LN(G(code))

Afterwards fresh ones are trained: a student by ridge, and the suite's linkage by distillation
(ridge or a network, whichever its held-out people prefer) from every public photograph and from
300.

Reads FACES (celeba/ as victims, lfw/ as the public set); writes
benchmarks/results/noise-games.json.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnn.attacks.observation import OwnFaces
from xnn.attacks.statistics.embedding_reader import EmbeddingReader
from xnn.attacks.statistics.held_out import cosines
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import FaceSet, load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.files import write_json
from xnn.metrics.chance import chance_rank_k
from xnn.metrics.identification import gallery_and_probes, rank_k
from xnn.models.feature_code import FeatureCode
from xnn.models.margin import MarginHead
from xnn.owner.evaluate import number_subjects
from xnn.redteam.front_scenario import rows_of, with_clean_features
from xnn.redteam.party import make_party
from xnn.training.loop import fit, new_tail_and_head
from xnn.training.presets import adamw, adamw_tail
from xnn.training.source import ArraySource
from xnn.training.validate import embed, mean_rank_1

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CODE = 64
BATCH = 256
REFRESH = 150
CATCH_UP = 60
Send = Callable[[Tensor], Tensor]
"""A front: codes in, z out."""
GAMES = (  # scale of the noise, weight of the attackers, weight of the utility
    (3.0, 0.0, 1.0),
    (3.0, 1.0, 0.0),
    (1.0, 1.0, 1.0),
    (3.0, 0.3, 1.0),
    (3.0, 1.0, 1.0),
    (3.0, 3.0, 1.0),
    (10.0, 1.0, 1.0),
    (10.0, 3.0, 1.0),
)


class Lab:
    """One split: codes of owner and attacker, the teacher's embeddings, the public recogniser's."""

    def __init__(self, faces: Path, seed: int, public: int, store: Path) -> None:
        self.extractor = extractor = load_extractor("dlib")
        victim, others = load_faces(faces / "celeba"), load_faces(faces / "lfw")
        split = split_faces(victim, SplitSettings(seed=seed))
        self.parts = parts = {n: part(split, n) for n in ("train", "val", "test_by_person")}
        self.own = own = {
            name: with_clean_features(make_party(one, extractor, store).faces)
            for name, one in parts.items()
        }
        attacker = make_party(others, extractor, store).faces
        self.public = with_clean_features(attacker.at(rows_of(attacker.labels, public)))
        self.labels = {name: number_subjects(one.samples) for name, one in parts.items()}
        self.teacher = tail = self._teacher(own["train"].tokens, own["val"].tokens, seed)
        self.wanted = {name: unit(embed(tail, unlabelled(one.tokens))) for name, one in own.items()}
        code = FeatureCode(*own["train"].tokens.shape[1:], CODE)
        rows = np.random.default_rng(seed).permutation(len(own["train"]))[:4000]
        code.fit(torch.from_numpy(own["train"].tokens[rows]), self.wanted["train"][rows])
        self.code = {name: code(torch.from_numpy(one.tokens)) for name, one in own.items()}
        self.public_code = code(torch.from_numpy(np.ascontiguousarray(self.public.tokens)))
        self.test = own["test_by_person"]
        centre = self.public.embeddings.mean(axis=0)
        self.known = F.normalize(torch.from_numpy(own["train"].embeddings - centre).float())

    def _teacher(self, train: np.ndarray, val: np.ndarray, seed: int) -> nn.Module:
        config = adamw(seed=seed, epochs=8, accelerator="cpu")
        source = ArraySource(train, self.labels["train"])
        tail, head = new_tail_and_head(adamw_tail(*train.shape[1:]), source.num_classes, config)
        with tempfile.TemporaryDirectory() as folder:
            fit(
                source, ArraySource(val, self.labels["val"]), tail, head, config, Path(folder) / "r"
            )
        return tail


class Attacker(nn.Module):
    """Learns who is behind z, and what a public recogniser says."""

    def __init__(self, depth: int, classes: int, width: int) -> None:
        super().__init__()
        self.net = network(CODE, width, 256, depth)
        self.head = MarginHead(width, classes)

    def loss(self, z: Tensor, labels: Tensor, known: Tensor) -> Tensor:
        """Return its own loss: a tenth of the cross-entropy, and the distance to the recogniser."""
        seen = self.net(z)
        apart = (1 - F.cosine_similarity(seen, known)).mean()
        return self.head.loss(seen, labels) / 10 + apart


def play(
    lab: Lab, scale: float, weight: float, utility: float, *, steps: int, seed: int
) -> dict[str, Any]:
    """Play one game and measure it with students and attackers made afterwards."""
    start = time.monotonic()
    send, student = train(lab, scale, weight, utility, steps=steps, seed=seed)
    with torch.no_grad():
        together = student(send(lab.code["test_by_person"])).numpy()
    return {
        "scale": scale,
        "attacker_weight": weight,
        "utility_weight": utility,
        "student_of_the_game": mean_rank_1(together, lab.labels["test_by_person"]),
        **measured(lab, send, seed),
        "wall_s": round(time.monotonic() - start, 1),
    }


def train(
    lab: Lab,
    scale: float,
    weight: float,
    utility: float,
    *,
    steps: int,
    seed: int,
    at: Callable[[int, Send], None] = lambda step, send: None,
) -> tuple[Send, nn.Module]:
    """Play one game; return the front and the student of the game.

    Args:
        lab: The split.
        scale: Of the noise, times the code.
        weight: Of the attackers.
        utility: Of the utility.
        steps: Of the game.
        seed: Of everything random.
        at: Told of every step before it is made, with the front as it is then.
    """
    torch.manual_seed(seed)
    x, wanted, known = lab.code["train"], lab.wanted["train"], lab.known
    labels = torch.from_numpy(lab.labels["train"])
    classes = int(labels.max()) + 1
    generator, student = network(CODE, CODE, 512, 2), network(CODE, wanted.shape[1], 512, 2)

    def send(code: Tensor) -> Tensor:
        noise = F.layer_norm(generator(code), (CODE,))
        return F.layer_norm(code, (CODE,)) + scale * noise

    def fresh(i: int) -> tuple[Attacker, torch.optim.Optimizer]:
        made = Attacker(1 + i % 3, classes, known.shape[1])
        return made, torch.optim.AdamW(made.parameters(), 2e-3)

    def learn(i: int, z: Tensor, rows: Tensor) -> None:
        move(attackers[i][1], attackers[i][0].loss(z, labels[rows], known[rows]))

    attackers = [fresh(i) for i in range(3)]
    players = [*generator.parameters(), *student.parameters()]
    optimizer = torch.optim.AdamW(players, 1e-3)
    for step in range(steps):
        with torch.random.fork_rng(devices=[]):
            at(step, send)
        rows = torch.randint(len(x), (BATCH,))
        if weight and step and step % REFRESH == 0:
            late = (step // REFRESH) % len(attackers)
            attackers[late] = fresh(late)
            for _ in range(CATCH_UP):
                again = torch.randint(len(x), (BATCH,))
                learn(late, send(x[again]).detach(), again)
        z = send(x[rows])
        loss = utility * (1 - F.cosine_similarity(student(z), wanted[rows])).mean()
        for attacker, _ in attackers if weight else ():
            found = F.cosine_similarity(attacker.net(z), known[rows]).clamp_min(0).mean()
            loss = loss + weight * found / len(attackers)
        move(optimizer, loss)
        for i in range(len(attackers) if weight else 0):
            learn(i, z.detach(), rows)
    at(steps, send)
    return send, student


@torch.no_grad()
def measured(lab: Lab, send: Send, seed: int) -> dict[str, float]:
    """Return what a student and attackers reach that are made for this front as it is."""
    sent = {name: send(code) for name, code in lab.code.items()}
    return measured_sent(lab, sent, send(lab.public_code), seed)


def measured_sent(
    lab: Lab, sent: dict[str, Tensor], public_sent: Tensor, seed: int
) -> dict[str, float]:
    """Return the same of z, a row each, of the owner's parts and of the public photographs."""
    public, test = public_sent.numpy(), sent["test_by_person"].numpy()
    with torch.enable_grad():
        found = {
            "linkage": linked(lab, public, test, len(public), seed),
            "linkage_300": linked(lab, public, test, 300, seed),
        }
    truth = lab.labels["test_by_person"]
    return {
        "fresh_student": mean_rank_1(fresh_student(lab, sent), truth),
        "z_against_z": mean_rank_1(test, truth),
        **found,
    }


def fresh_student(lab: Lab, sent: dict[str, Tensor]) -> np.ndarray:
    """Return what a ridge regression to the teacher makes of the test people's z."""
    best, chosen = -1.0, np.empty(0)
    x, y = sent["train"].double(), lab.wanted["train"].double()
    mean, centre = x.mean(0), y.mean(0)
    x, y = x - mean, y - centre
    wide = x.shape[1] > len(x)  # then the same answer costs less by way of the rows
    gram = x @ x.T if wide else x.T @ x
    level = x.square().sum() / x.shape[1]
    for strength in (1e-4, 1e-2, 1.0):
        ridge = strength * level * torch.eye(len(gram), dtype=torch.float64)
        found = torch.linalg.solve(gram + ridge, y if wide else x.T @ y)
        found = x.T @ found if wide else found
        val, test = (
            ((sent[name].double() - mean) @ found).float().numpy()
            for name in ("val", "test_by_person")
        )
        score = mean_rank_1(val, lab.labels["val"])
        if score > best:
            best, chosen = score, test
    return chosen


def linked(
    lab: Lab,
    queried: np.ndarray,
    test: np.ndarray,
    queries: int,
    seed: int,
    faces: OwnFaces | None = None,
) -> float:
    """Return the rank-1 of intercepted z against clean photographs.

    Args:
        lab: The split.
        queried: z of the attacker's photographs.
        test: z of the test people.
        queries: How many photographs it asks about.
        seed: Chooses them.
        faces: The attacker's photographs; None takes the public ones.
    """
    faces = lab.public if faces is None else faces
    rows = np.sort(np.random.default_rng(seed).permutation(len(queried))[:queries])
    labels = np.unique(faces.labels[rows], return_inverse=True)[1]
    reader = EmbeddingReader.fit(queried[rows], faces.embeddings[rows], labels, seed=seed)
    truth = lab.labels["test_by_person"]
    gallery, probes = gallery_and_probes(truth)
    scores = cosines(reader.read(test[probes]), lab.test.embeddings[gallery] - reader.centre)
    return rank_k(scores, truth[probes], truth[gallery])


def network(inputs: int, outputs: int, hidden: int, depth: int) -> nn.Sequential:
    """Return a network with some hidden layers."""
    layers: list[nn.Module] = [nn.Linear(inputs, hidden), nn.GELU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(hidden, hidden), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


def move(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Make one step."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def unit(rows: Any) -> Tensor:
    """Return rows of length one."""
    return F.normalize(torch.as_tensor(rows))


def unlabelled(tokens: np.ndarray) -> ArraySource:
    """Return records whose people do not matter."""
    return ArraySource(np.ascontiguousarray(tokens), np.zeros(len(tokens), dtype=np.int64))


def part(split: FaceSet, name: str) -> FaceSet:
    """Return one part of a split as a face set of its own."""
    return replace(split, samples=split.only(name).samples)


def main() -> int:
    """Measure, or skip loudly where there are no faces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--public", type=int, default=2000, help="most public photographs")
    parser.add_argument("--store", type=Path, required=True, help="folder for kept features")
    options = parser.parse_args()
    faces = Path(os.environ.get("FACES", ROOT.parent / "shared" / "data"))
    if not (faces / "celeba").is_dir() or not (faces / "lfw").is_dir():
        print(f"SKIPPED: no celeba/ and lfw/ below {faces.name}; set FACES", file=sys.stderr)
        return 0
    kept = options.store / "games.json"
    rows: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.is_file() else []
    for seed in range(options.seeds):
        lab = None
        for scale, weight, utility in GAMES:
            name = {"seed": seed, "scale": scale, "attacker_weight": weight}
            name |= {"utility_weight": utility, "steps": options.steps, "public": options.public}
            if any(name.items() <= row.items() for row in rows):
                continue
            lab = lab or Lab(faces, seed, options.public, options.store)
            people = len(np.unique(lab.labels["test_by_person"]))
            row = name | play(lab, scale, weight, utility, steps=options.steps, seed=seed)
            rows.append(row | {"chance": chance_rank_k(gallery_size=people), "subjects": people})
            kept.write_text(json.dumps(rows, indent=1))
            print(row, flush=True)
    facts = {"victim": "celeba", "public": "lfw", "extractor": "dlib", "torch": torch.__version__}
    command = f"benchmarks/noise_games.py --seeds {options.seeds} --steps {options.steps}"
    write_json(RESULTS / "noise-games.json", {"command": command, **facts, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
