"""The two parties of the demo: an owner in this process, a cloud in a process of its own."""

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xnn.cloud.bundle import Bundle, load_bundle
from xnn.errors import XnnError
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet, save_manifest
from xnn.faces.splits import SplitSettings, split_faces
from xnn.files import disk_errors, write_atomically
from xnn.metrics.evaluation import Evaluation
from xnn.owner.binding import scope_of
from xnn.owner.build import build_shards
from xnn.owner.evaluate import evaluate_tail
from xnn.owner.plan import BuildSettings
from xnn.owner.statistics import load_statistics
from xnn.secret import KeyFile, SecretKey
from xnn.shards.manifest import MANIFEST_NAME

BUILD = BuildSettings(mirror=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Holds photographs, names and keys, all below one folder."""

    folder: Path
    extractor: Extractor

    def passphrase(self) -> str:
        """Return the demo's passphrase, made at random on the first call."""
        path = self.folder / "passphrase"
        if not path.is_file():
            write_atomically(path, secrets.token_urlsafe(24).encode(), mode=0o600)
        with disk_errors("read", path):
            return path.read_text(encoding="utf-8")

    def divide(self, faces: FaceSet, seed: int) -> FaceSet:
        """Split a face set and keep the manifest."""
        divided = split_faces(faces, SplitSettings(seed=seed))
        save_manifest(divided, self.folder / f"faces-{seed}.csv")
        return divided

    def key(self, scheme: str, seed: int) -> KeyFile:
        """Return the key of one upload, made on the first call."""
        path = self.folder / f"{scheme}-{seed}.key"
        if path.is_file():
            return KeyFile.open(path, self.passphrase())
        card = self.extractor.card
        scope = scope_of(card, dataset=f"orl-{seed}", scheme=scheme)
        return KeyFile.create(
            path, SecretKey.generate(scope), self.passphrase(), extractor=card.to_dict()
        )

    def build(self, faces: FaceSet, keyfile: KeyFile, folder: Path) -> None:
        """Write the shards, unless they are there."""
        if not (folder / MANIFEST_NAME).is_file():
            build_shards(faces, self.extractor, keyfile, folder, BUILD)

    def test(self, bundle: Bundle, faces: FaceSet, keyfile: KeyFile) -> tuple[Evaluation, ...]:
        """Evaluate what the cloud returned."""
        keyfile.key.require(key_id=bundle.card.key_id)
        generator = np.random.default_rng(0)
        return evaluate_tail(
            bundle.tail,
            faces,
            self.extractor,
            keyfile.key,
            statistics=load_statistics(keyfile),
            generator=generator,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Trains in a separate process that is given one folder of shards and nothing else."""

    folder: Path

    def train(self, shards: Path, run: Path, *, seed: int) -> Bundle:
        """Run `xnn train` and read its bundle; goes on with a run that was interrupted.

        Raises:
            XnnError: The process failed; its own last line says why.
        """
        if not (run / "bundle" / "bundle.json").is_file():
            arguments = ["train", str(shards), "--out", str(run), "--seed", str(seed), "--resume"]
            process = subprocess.run(  # noqa: S603  our own command line, no shell
                [sys.executable, "-m", "xnn", *arguments],
                cwd=self.folder,
                env=without_secrets(),
                capture_output=True,
                text=True,
                check=False,
            )
            if process.returncode:
                last = (process.stderr.strip().splitlines() or ["no message"])[-1]
                raise XnnError(f"the cloud's training failed: {last}")
        return load_bundle(run / "bundle")


def without_secrets() -> dict[str, str]:
    """Return the environment without settings of ours, keys among them."""
    return {name: value for name, value in os.environ.items() if not name.startswith("XNN_")}
