"""The recognition tail: transformer blocks over tokens whose order means nothing to it."""

from collections.abc import Iterable
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from xnn.errors import ShapeError
from xnn.models.denoiser import Denoiser
from xnn.models.tail_config import TailConfig
from xnn.models.vit import LAYER_NORM_EPS, Attention, Block
from xnn.models.whitening import Whitening


@final
class Tail(nn.Module):
    """Turn the tokens of a record into one embedding.

    There is no position embedding, so with `mean` or `cls` the order of the tokens is irrelevant
    and the owner's permutation costs nothing. A denoiser in front (`denoise`) needs it kept.

    Initial weights are the paper's: linear maps Xavier uniform (query, key and value each as a
    matrix of its own), biases 0, class token 0.02 normal. They are drawn from torch's global
    generator.

    Trust: cloud. It works on obfuscated records as well as on plain ones.
    Source: RecNet of arXiv:2408.04974.
    """

    def __init__(self, config: TailConfig) -> None:
        super().__init__()
        self.config = config
        width = config.block_width
        self.denoiser = Denoiser(config.n, config.d, config.denoise) if config.denoise else None
        self.whitening = Whitening(config.d) if config.input_norm == "whiten" else None
        self.project_in = nn.Linear(config.d, width) if width != config.d else nn.Identity()
        self.class_token = (
            nn.Parameter(0.02 * torch.randn(1, 1, width)) if config.read_out == "cls" else None
        )
        blocks = [
            Block(width, config.heads, config.mlp_ratio, drop_path=config.drop_path)
            for _ in range(config.tail_depth)
        ]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.project_out = (
            nn.Linear(width, config.output_dim) if config.embedding_dim else nn.Identity()
        )
        self.apply(_start_as_paper)
        if config.start == "identity":
            for block in blocks:
                _start_as_identity(block)

    def fit_input_norm(
        self,
        records: Iterable[tuple[Float32[np.ndarray, "_ n d"], Int64[np.ndarray, " _"]]],
    ) -> None:
        """Set the whitening once, from training records, before the first step.

        Does nothing when `input_norm` is "none".

        Args:
            records: Batches of training records and labels, never of validation or test.
        """
        if self.whitening is not None:
            self.whitening.fit((self._denoised(batch), labels) for batch, labels in records)

    def forward(self, features: Float[Tensor, "b n d"]) -> Float[Tensor, "b e"]:
        """Return embeddings, not normalised.

        Raises:
            ShapeError: The records are not of the tail's n and d.
        """
        self._check(features)
        tokens = features if self.denoiser is None else self.denoiser(features)
        tokens = tokens if self.whitening is None else self.whitening(tokens)
        if self.training:
            tokens = _with_noise(tokens, self.config.feature_noise)
            tokens = _without_some(tokens, self.config.token_dropout)
        tokens = self.project_in(tokens)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        # Pooled before the norm: a norm of each token would forget which ones speak loudest.
        read = tokens.mean(dim=1) if self.config.read_out == "mean" else tokens[:, 0]
        embedding: Tensor = self.project_out(self.norm(read))
        return embedding

    def _denoised(self, records: Float32[np.ndarray, "b n d"]) -> Float32[np.ndarray, "b n d"]:
        if self.denoiser is None:
            return records
        denoised: Float32[np.ndarray, "b n d"] = self.denoiser(torch.from_numpy(records)).numpy()
        return denoised

    def _check(self, features: Tensor) -> None:
        expected = (self.config.n, self.config.d)
        if features.shape[1:] != expected:
            raise ShapeError(
                f"records of {'x'.join(map(str, features.shape[1:]))}, this tail expects "
                f"{expected[0]}x{expected[1]}; use records of the extractor it was trained on"
            )


def _with_noise(tokens: Tensor, deviations: float) -> Tensor:
    if not deviations:
        return tokens
    return tokens + deviations * tokens.detach().std() * torch.randn_like(tokens)


def _without_some(tokens: Tensor, share: float) -> Tensor:
    """Leave out a share of the tokens of every record, at least one kept."""
    b, n, d = tokens.shape
    num_kept = max(1, round(n * (1 - share)))
    if num_kept == n:
        return tokens
    kept = torch.rand(b, n, device=tokens.device).argsort(dim=1)[:, :num_kept]
    return tokens.gather(1, kept[:, :, None].expand(-1, -1, d))


def _start_as_paper(module: nn.Module) -> None:
    """Draw linear maps Xavier uniform; query, key and value are three maps stored as one."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    if isinstance(module, Attention):
        for part in module.qkv.weight.chunk(3):
            nn.init.xavier_uniform_(part.data)


def _start_as_identity(block: Block) -> None:
    """Silence both branches, so that the block passes its input on until it has learned."""
    for linear in (block.attn.proj, block.fc2):
        nn.init.zeros_(linear.weight)
