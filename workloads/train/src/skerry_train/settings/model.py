"""What a model is: the posts' `model.json`, and what else may be set about the network.

It does not know how the network is built, nor how it is trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from skerry_train.errors import BadSettings
from skerry_train.settings.reading import read

Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]
Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Initialization = Literal["pytorch", "gpt2"]


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a GPT-2. Names and defaults of the first seven are the posts'.

    vocab_padding: rounds the rows of embedding and head up to a multiple of this many, since matrix
    units like whole tiles: with 128, 50,257 become 50,304. 1 pads nothing. initialization: `pytorch`
    leaves each part as PyTorch makes it, as the posts do; `gpt2` is the paper's, without which tied
    weights begin far from where they should.
    """

    vocab_size: Size = 50257
    context_length: Size = 1024
    emb_dim: Size = 768
    n_heads: Size = 12
    n_layers: Size = 12
    drop_rate: Rate = 0.1
    qkv_bias: bool = False
    tie_weights: bool = False
    vocab_padding: Size = 1
    initialization: Initialization = "pytorch"

    def __post_init__(self) -> None:
        if self.emb_dim % self.n_heads:
            near = [n for n in range(1, self.emb_dim + 1) if self.emb_dim % n == 0]
            best = min(near, key=lambda n: abs(n - self.n_heads))
            raise BadSettings(
                f"emb_dim {self.emb_dim} does not divide by n_heads {self.n_heads}; {best} heads would fit"
            )

    @property
    def head_dim(self) -> int:
        """Return the width of one head."""
        return self.emb_dim // self.n_heads

    @property
    def padded_vocab_size(self) -> int:
        """Return the rows of embedding and head."""
        return -(-self.vocab_size // self.vocab_padding) * self.vocab_padding


def read_model(run: Path) -> ModelSettings:
    """Read `model.json` of a run directory."""
    return read(run / "model.json", ModelSettings)
