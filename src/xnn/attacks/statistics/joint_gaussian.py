"""What a public collection of faces looks like through the extractor: one Gaussian of whole maps.

A few components that reach over all positions, and a covariance of its own for what each position
does beside them. Positions share most of what they know; a model without that counts it n times.

Source: this project; the components are those of principal component analysis, the precision is
Woodbury's.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from xnn.attacks.statistics.moments import pooled_covariance, whiten, whitened

_MOST_COMPONENTS = 64
_SHRINKAGE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JointGaussian:
    """A distribution of maps x, in channels that are uncorrelated and of unit variance.

    x[t] = token[t] @ into, less the mean of its position.
    """

    into: Float64[np.ndarray, "d d"]
    """From the extractor's channels to the model's."""
    variances: Float64[np.ndarray, " d"]
    """Pooled variance of each of the model's directions, in the extractor's units."""
    means: Float32[np.ndarray, "n d"]
    """Mean of each position, in the model's channels."""
    precisions: Float32[np.ndarray, "n d d"]
    """Inverse covariance of what a position does on its own."""
    shared: Float32[np.ndarray, "k nd"]
    """The precision of whole maps is that of positions less shared' shared."""

    @classmethod
    def fit(cls, tokens: Float32[np.ndarray, "p n d"]) -> "JointGaussian":
        """Measure a collection.

        Args:
            tokens: Features of the attacker's own images, at least two.

        Raises:
            InsufficientDataError: Fewer than two, or no variance.
        """
        p, n, d = tokens.shape
        means = tokens.mean(axis=0, dtype=np.float64)
        covariance = pooled_covariance(tokens, means)
        white = whitened(tokens, means, whiten(covariance))
        variances, basis = np.linalg.eigh(covariance)
        variances = np.maximum(variances, 1e-10 * variances[-1])
        maps = (white @ basis.astype(np.float32)).reshape(p, n * d)
        weights, components = _components(maps, min(_MOST_COMPONENTS, p // 4))
        rest = (maps - (maps @ components.T) @ components).reshape(p, n, d).transpose(1, 0, 2)
        own = rest.transpose(0, 2, 1) @ rest / np.float32(p)
        spread = np.trace(own, axis1=1, axis2=2).mean() / d
        prior = 0.5 * (own.mean(axis=0) + spread * np.eye(d, dtype=np.float32))
        own = (1 - _SHRINKAGE) * own + _SHRINKAGE * prior
        precisions = np.linalg.inv(own.astype(np.float64)).astype(np.float32)
        k = len(components)
        by_position = components.reshape(k, n, d).transpose(1, 0, 2)
        scaled = (by_position @ precisions).transpose(1, 0, 2).reshape(k, n * d)
        inner = np.diag(1 / weights) + (scaled @ components.T).astype(np.float64)
        shared = np.linalg.solve(np.linalg.cholesky(inner), scaled.astype(np.float64))
        return cls(
            into=basis / np.sqrt(variances),
            variances=variances,
            means=(means @ (basis / np.sqrt(variances))).astype(np.float32),
            precisions=precisions,
            shared=shared.astype(np.float32),
        )

    def precision_times(self, maps: Float32[np.ndarray, "b n d"]) -> Float32[np.ndarray, "b n d"]:
        """Return the precision of whole maps, applied to maps less their mean."""
        alone = (maps.transpose(1, 0, 2) @ self.precisions).transpose(1, 0, 2)
        flat = maps.reshape(len(maps), -1)
        return alone - ((flat @ self.shared.T) @ self.shared).reshape(maps.shape)

    def mean_curvature(self) -> Float64[np.ndarray, " d"]:
        """Return the diagonal of the precision, averaged over positions."""
        n, d, _ = self.precisions.shape
        alone = np.diagonal(self.precisions, axis1=1, axis2=2).mean(axis=0, dtype=np.float64)
        joint = np.square(self.shared.reshape(-1, n, d)).sum(axis=0, dtype=np.float64)
        return np.maximum(alone - joint.mean(axis=0), 1e-3 * alone)


def _components(
    maps: Float32[np.ndarray, "p nd"], count: int
) -> tuple[Float64[np.ndarray, " k"], Float32[np.ndarray, "k nd"]]:
    """Return the largest principal components, by the Gram matrix, and their variances."""
    gram = (maps @ maps.T).astype(np.float64) / len(maps)
    values, vectors = np.linalg.eigh(gram)
    kept = values[::-1][:count] > 1e-9 * values[-1]
    weights = values[::-1][:count][kept]
    scale = 1 / np.sqrt(weights * len(maps))
    components = (vectors[:, ::-1][:, :count][:, kept] * scale).T.astype(np.float32) @ maps
    return weights, components
