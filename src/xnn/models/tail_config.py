"""Settings of a tail: readable without torch, by a process that only passes records on."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from xnn.errors import ConfigError

ReadOut = Literal["mean", "cls", "index0"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TailConfig:
    """Shape and regularisation of a tail.

    Raises:
        ConfigError: A setting is out of range, or two of them contradict each other.
    """

    n: int
    """Tokens of a record."""
    d: int
    """Width of a token."""
    tail_depth: int = 6
    """Transformer blocks; 0 leaves the read-out and the projection."""
    width: int | None = None
    """Of the blocks; None keeps d, another value puts a linear map in front."""
    heads: int = 8
    mlp_ratio: float = 4.0
    read_out: str = "mean"
    """`mean` of the tokens, a learned `cls` token, or the paper's `index0`: the first token of the
    record, which after the owner's permutation may be any of them."""
    embedding_dim: int | None = None
    """Of the result; None keeps the width, another value puts a linear map behind."""
    input_norm: str = "none"
    """`whiten` sets `Whitening` from training records before the first step; or `none`."""
    start: str = "paper"
    """`paper`: Xavier-uniform linears. `identity`: as that, but every block begins as the identity,
    so that training starts from the pooled input."""
    token_dropout: float = 0.0
    """Share of the tokens left out of each record in training."""
    drop_path: float = 0.0
    """Chance that a record skips a branch of a block in training."""
    feature_noise: float = 0.0
    """Gaussian noise in training, in standard deviations of the batch's tokens."""
    denoise: int = 0
    """Directions of a `Denoiser` in front of everything else, for records under fresh noise whose
    tokens keep their places; 0 is none. Left out of `to_dict` then: runs begun before it go on."""

    def __post_init__(self) -> None:
        for name, low in (("n", 1), ("d", 1), ("tail_depth", 0), ("heads", 1), ("denoise", 0)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name}={getattr(self, name)}; use {low} or more")
        for name in ("width", "embedding_dim"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value}; use None or 1 and more")
        if self.block_width % self.heads:
            raise ConfigError(
                f"heads={self.heads} does not divide the width {self.block_width}; use a divisor"
            )
        if not 0 < self.mlp_ratio < math.inf:
            raise ConfigError(f"mlp_ratio={self.mlp_ratio}; use a ratio above 0, usually 4")
        if not 0 <= self.feature_noise < math.inf:
            raise ConfigError(f"feature_noise={self.feature_noise}; use 0 or more")
        for name in ("token_dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}; use a fraction in [0, 1)")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"{name}={getattr(self, name)!r}; use one of {', '.join(allowed)}"
                )
        if self.read_out == "index0" and self.token_dropout:
            raise ConfigError(
                "token_dropout could drop the token that read_out='index0' reads; "
                "set token_dropout=0 or read out the mean"
            )

    @property
    def block_width(self) -> int:
        """Width of the blocks."""
        return self.d if self.width is None else self.width

    @property
    def output_dim(self) -> int:
        """Width of the embeddings."""
        return self.block_width if self.embedding_dim is None else self.embedding_dim

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return {name: v for name, v in asdict(self).items() if name != "denoise" or v}

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> "TailConfig":
        """Read settings back.

        Raises:
            ConfigError: A name is unknown or missing, or a value is out of range.
        """
        try:
            return cls(**settings)
        except TypeError as error:
            raise ConfigError(f"tail settings of another form: {error}") from error


_CHOICES: dict[str, tuple[str, ...]] = {
    "read_out": get_args(ReadOut),
    "input_norm": ("none", "whiten"),
    "start": ("paper", "identity"),
}
