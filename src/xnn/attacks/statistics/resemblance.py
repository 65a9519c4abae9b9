"""Maps of who resembles whom: between the classes of an upload, and between photographed people."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.optimize import nnls

from xnn.attacks.observation import OwnFaces
from xnn.attacks.statistics.class_vectors import class_means
from xnn.attacks.statistics.upload_whitening import UploadWhitening

_FLAT_WIDTH = 512
_SQUARE_WIDTH = 32
_SHRINKAGES = (0.1, 1.0)
_EMBEDDING_SHRINKAGE = 0.1


def record_layers(
    records: Float32[np.ndarray, "r m e"], members: Int64[np.ndarray, " r"], *, seed: int
) -> dict[str, Float64[np.ndarray, "c c"]]:
    """Return one standardised map of the classes per statistic of records.

    Statistics: the mean token, all tokens in their places (of use when places mean something), and
    the second moment of tokens; each at two strengths of whitening within classes.

    Args:
        records: Of one key.
        members: Class of each record, 0..c-1, all present.
        seed: Draws the projections that keep statistics small.
    """
    rng = np.random.default_rng(seed)
    whitened = UploadWhitening.of(records)(records)
    statistics = {
        "mean": whitened.mean(axis=1),
        "places": _projected(whitened.reshape(len(whitened), -1), _FLAT_WIDTH, rng),
        "square": _second_moments(whitened, rng),
    }
    return {
        f"{name}/{shrinkage:g}": standardised(class_map(rows, members, shrinkage))
        for name, rows in statistics.items()
        for shrinkage in _SHRINKAGES
    }


def embedding_map(faces: OwnFaces, public: OwnFaces) -> Float64[np.ndarray, "p p"]:
    """Return the cosines between people, by a public recogniser's embeddings.

    Directions in which one person's photographs differ count less, as the attacker's own
    photographs show them.

    Args:
        faces: Of the people on the map; a row per distinct label, rising.
        public: The attacker's own, for the mean and the spread within people.
    """
    _, members = np.unique(faces.labels, return_inverse=True)
    return _cosines(class_means(identity_space(faces, public), members))


def identity_space(faces: OwnFaces, public: OwnFaces) -> Float64[np.ndarray, "b e"]:
    """Return embeddings less the public mean, whitened within the people of the public set."""
    _, own = np.unique(public.labels, return_inverse=True)
    wide = public.embeddings.astype(np.float64)
    root = _within_root(wide, own, _EMBEDDING_SHRINKAGE)
    moved: Float64[np.ndarray, "b e"] = (faces.embeddings - wide.mean(axis=0)) @ root
    return moved


def layer_weights(
    layers: Sequence[dict[str, Float64[np.ndarray, "c c"]]],
    targets: Sequence[Float64[np.ndarray, "c c"]],
) -> dict[str, float]:
    """Return non-negative weights under which the layers foretell the targets best.

    Args:
        layers: Of uploads of the attacker's own; none gives equal weights.
        targets: The map of the same people by their embeddings, for each upload.
    """
    if layers:
        above = [np.triu_indices(len(target), 1) for target in targets]
        names = list(layers[0])
        columns = [
            np.concatenate([one[name][i] for one, i in zip(layers, above, strict=True)])
            for name in names
        ]
        wanted = np.concatenate([t[i] for t, i in zip(targets, above, strict=True)])
        weights = nnls(np.stack(columns, axis=1), wanted)[0]
        if weights.sum() > 0:
            return dict(zip(names, (weights / weights.sum()).tolist(), strict=True))
    statistics = ("mean", "places", "square")
    count = len(statistics) * len(_SHRINKAGES)
    return {f"{name}/{s:g}": 1 / count for name in statistics for s in _SHRINKAGES}


def standardised(layer: Float64[np.ndarray, "c c"]) -> Float64[np.ndarray, "c c"]:
    """Return a symmetric map with mean 0 and deviation 1 off its diagonal, and 0 on it."""
    rest = ~np.eye(len(layer), dtype=bool)
    scale = max(float(layer[rest].std()), 1e-12)
    done: Float64[np.ndarray, "c c"] = np.where(rest, (layer - layer[rest].mean()) / scale, 0.0)
    return done


def class_map(
    rows: Float32[np.ndarray, "r f"], members: Int64[np.ndarray, " r"], shrinkage: float
) -> Float64[np.ndarray, "c c"]:
    """Return the cosines between class means, directions that differ within classes turned down.

    Args:
        rows: Any description of records that a key leaves its angles.
        members: Class of each, 0..c-1, all present.
        shrinkage: Of the covariance within classes, in units of its mean variance.
    """
    wide = rows.astype(np.float64)
    return _cosines(class_means(wide, members) @ _within_root(wide, members, shrinkage))


def _within_root(
    rows: Float64[np.ndarray, "r f"], members: Int64[np.ndarray, " r"], shrinkage: float
) -> Float64[np.ndarray, "f f"]:
    """Return the inverse root of the shrunk covariance of rows round the mean of their class."""
    rest = rows - class_means(rows, members)[members]
    variances, directions = np.linalg.eigh(rest.T @ rest / len(rows))
    variances = np.maximum(variances, 0.0)
    floor = max(shrinkage * float(variances.mean()), 1e-12)
    root: Float64[np.ndarray, "f f"] = (directions / np.sqrt(variances + floor)) @ directions.T
    return root


def _cosines(points: Float64[np.ndarray, "c f"]) -> Float64[np.ndarray, "c c"]:
    unit = _unit(points - points.mean(axis=0))
    return unit @ unit.T


def _unit(points: Float64[np.ndarray, "c f"]) -> Float64[np.ndarray, "c f"]:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    scaled: Float64[np.ndarray, "c f"] = points / np.maximum(lengths, 1e-12)
    return scaled


def _projected(
    rows: Float32[np.ndarray, "r f"], width: int, rng: np.random.Generator
) -> Float32[np.ndarray, "r w"]:
    if rows.shape[1] <= width:
        return rows
    draw = rng.standard_normal((rows.shape[1], width), dtype=np.float32)
    return rows @ (draw / np.float32(np.sqrt(width)))


def _second_moments(
    tokens: Float32[np.ndarray, "r m e"], rng: np.random.Generator
) -> Float32[np.ndarray, "r s"]:
    width = min(_SQUARE_WIDTH, tokens.shape[2])
    draw = rng.standard_normal((tokens.shape[2], width), dtype=np.float32)
    low = tokens @ (draw / np.float32(np.sqrt(tokens.shape[2])))
    squares = low.transpose(0, 2, 1) @ low / np.float32(tokens.shape[1])
    above = np.triu_indices(width)
    return squares[:, above[0], above[1]]
