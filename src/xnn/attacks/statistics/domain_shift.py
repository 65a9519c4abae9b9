"""Features of another collection, moved to where the attacker's own lie.

Grey photographs, another camera or another crop shift features as a whole. What was learned on the
attacker's own then fits the victims' badly, though they carry the same content.
"""

import numpy as np
from jaxtyping import Float32, Float64

_SHRINKAGE = 0.1
_LEAST_SHIFT = 0.05
_TIMES_CHANCE = 4.0


def is_shifted(features: Float32[np.ndarray, "q n d"], own: Float32[np.ndarray, "b n d"]) -> bool:
    """Tell whether the means of two sets differ by more than which people are in them.

    Returns:
        Whether the squared distance of the means, in units of the variance of one image, is above
        0.05 and above 4 times what two samples of one collection show.
    """
    apart = features.mean(axis=0, dtype=np.float64) - own.mean(axis=0, dtype=np.float64)
    spread = float(np.sum(features.var(axis=0, dtype=np.float64)))
    shift = float(np.sum(apart**2))
    by_chance = spread * (1 / len(features) + 1 / len(own))
    return shift > max(_LEAST_SHIFT * spread, _TIMES_CHANCE * by_chance)


def moved(
    features: Float32[np.ndarray, "q n d"], own: Float32[np.ndarray, "b n d"]
) -> Float32[np.ndarray, "q n d"]:
    """Move features to the attacker's own: their mean at each position, their pooled covariance.

    The linear map of least cost between two Gaussians: what need not change does not.

    Args:
        features: Of several images, in the extractor's order.
        own: The attacker's, same shape of one image.

    Source: Olkin and Pukelsheim 1982 (the map); as correlation alignment: Sun and Saenko,
        arXiv:1607.01719.
    """
    mean, own_mean = features.mean(axis=0), own.mean(axis=0)
    centred = features - mean
    covariance, own_covariance = _covariance(centred), _covariance(own - own_mean)
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values)) @ vectors.T
    inverse = (vectors / np.sqrt(values)) @ vectors.T
    middle_values, middle_vectors = np.linalg.eigh(root @ own_covariance @ root)
    middle = (middle_vectors * np.sqrt(np.maximum(middle_values, 0))) @ middle_vectors.T
    transport = (inverse @ middle @ inverse).astype(np.float32)
    out: Float32[np.ndarray, "q n d"] = centred @ transport + own_mean
    return out


def _covariance(centred: Float32[np.ndarray, "b n d"]) -> Float64[np.ndarray, "d d"]:
    rows = centred.reshape(-1, centred.shape[2])
    covariance = (rows.T @ rows).astype(np.float64) / len(rows)
    d = len(covariance)
    scale = max(float(np.trace(covariance)) / d, float(np.finfo(np.float32).tiny))
    covariance += _SHRINKAGE * scale * np.eye(d)
    return covariance
