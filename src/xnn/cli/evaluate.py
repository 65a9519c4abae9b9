"""`xnn eval`: the owner tests the tail that came back from the cloud."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from xnn.cli.choose_extractor import OwnExtractor, Weights
from xnn.cli.output import emit, progress
from xnn.cli.passphrase import PassphraseFile, read_passphrase
from xnn.cloud.bundle import load_bundle
from xnn.extractors.recall import recall_extractor
from xnn.faces.dataset import load_faces
from xnn.faces.pairs import load_pairs
from xnn.files import write_json
from xnn.metrics.curves import cmc_curve, roc_curve
from xnn.metrics.evaluation import Evaluation, pooled_rows
from xnn.owner.evaluate import evaluate_tail
from xnn.owner.statistics import load_statistics
from xnn.secret import KeyFile


def evaluate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle of a training run.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Manifest with test splits.")],
    key: Annotated[Path, typer.Option("--key", help="Key the tail was trained under.")],
    pairs: Annotated[
        Path | None, typer.Option(help="Pairs file (LFW format) over the photographs of DATA.")
    ] = None,
    extractor: OwnExtractor = None,
    weights: Weights = None,
    curves: Annotated[
        Path | None, typer.Option(help="Write CMC and ROC with their bands to this JSON file.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.", min=0)] = 0,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Measure rank-1, EER and TAR at FAR, each with its interval over subjects.

    By person: the test subjects were never trained on. By image: other images of trained subjects.
    """
    loaded_bundle = load_bundle(bundle)
    faces = load_faces(data)
    chosen_pairs = load_pairs(pairs, faces) if pairs else ()
    keyfile = KeyFile.open(key, read_passphrase(passphrase_file))
    keyfile.key.require(key_id=loaded_bundle.card.key_id)
    loaded = recall_extractor(keyfile.extractor, name=extractor, weights=weights)
    with progress("embedding", total=None) as advance:
        results = evaluate_tail(
            loaded_bundle.tail,
            faces,
            loaded,
            keyfile.key,
            statistics=load_statistics(keyfile),
            pairs=chosen_pairs,
            generator=np.random.default_rng(seed),
            on_records=advance,
        )
    rows = pooled_rows([[one for result in results for one in result.measured]])
    if curves:
        write_json(curves, _curves(results, np.random.default_rng(seed)))
    facts = {"scheme": loaded_bundle.card.scheme, "key_id": loaded_bundle.card.key_id}
    emit(facts | {"rows": rows}, title="Evaluation")


def _curves(results: tuple[Evaluation, ...], generator: np.random.Generator) -> dict[str, Any]:
    curves: dict[str, Any] = {}
    for result in results:
        cmc = cmc_curve(result)
        curves[result.measured[0].protocol] = {
            "cmc": cmc and cmc.to_dict(),
            "roc": roc_curve(result, generator).to_dict(),
        }
    return curves
