"""GPT-2: embeddings, blocks, head.

It does not know how it is trained, stored or sampled from.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skerry_train.errors import BadSettings
from skerry_train.model.loss import chunked_loss, whole_loss
from skerry_train.model.parts import FeedForward, SelfAttention, make_norm
from skerry_train.settings import Attention, Loss, ModelSettings, Parts


class Block(nn.Module):
    """Attention and a feed-forward net, each normalised before and added to what came in."""

    def __init__(
        self, model: ModelSettings, attention: Attention, parts: Parts, *, fused_qkv: bool
    ) -> None:
        super().__init__()
        self.norm1 = make_norm(model.emb_dim, parts)
        self.att = SelfAttention(model, attention, fused_qkv=fused_qkv)
        self.norm2 = make_norm(model.emb_dim, parts)
        self.ff = FeedForward(model.emb_dim, parts)
        self.drop = nn.Dropout(model.drop_rate)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the next hidden states. [B, T, C] to [B, T, C]."""
        inputs = inputs + self.drop(self.att(self.norm1(inputs)))
        return inputs + self.drop(self.ff(self.norm2(inputs)))


class GPT(nn.Module):
    """GPT-2 with every lever that settings have.

    attention, parts, fused_qkv and loss say how things are computed, not what comes out.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        attention: Attention = "auto",
        parts: Parts = "native",
        fused_qkv: bool = True,
        loss: Loss = "whole",
    ) -> None:
        super().__init__()
        self.settings = settings
        width, rows = settings.emb_dim, settings.padded_vocab_size
        self.tok_emb = nn.Embedding(rows, width)
        self.pos_emb = nn.Embedding(settings.context_length, width)
        self.drop = nn.Dropout(settings.drop_rate)
        self.blocks = nn.ModuleList(
            [
                Block(settings, attention, parts, fused_qkv=fused_qkv)
                for _ in range(settings.n_layers)
            ]
        )
        self.final_norm = make_norm(width, parts)
        self.out_head = nn.Linear(width, rows, bias=False)
        self.loss = chunked_loss if loss == "chunked" else whole_loss
        if settings.initialization == "gpt2":
            self._initialize()
        if settings.tie_weights:
            self.out_head.weight = self.tok_emb.weight
        with torch.no_grad():  # nothing ever moves them from there: no gradient reaches them
            self.tok_emb.weight[settings.vocab_size :] = 0
            self.out_head.weight[settings.vocab_size :] = 0

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> Tensor:
        """Return the logits, [B, T, padded V], or with targets the mean loss in nats, a scalar.

        ids, targets: [B, T] of integers below the vocabulary's size; T at most the context.
        Columns of logits from the vocabulary's size on mean nothing.
        """
        hidden = self.hidden(ids)
        if targets is None:
            return self.out_head(hidden)
        return self.loss(
            hidden.flatten(0, 1),
            self.out_head.weight,
            targets.flatten().long(),
            self.settings.vocab_size,
        )

    def hidden(self, ids: Tensor) -> Tensor:
        """Return what the head reads. [B, T] to [B, T, C]."""
        length = ids.shape[1]
        if length > self.settings.context_length:
            raise BadSettings(
                f"{length} tokens are more than the model's context of {self.settings.context_length}"
            )
        places = torch.arange(length, device=ids.device)
        hidden = self.drop(self.tok_emb(ids.long()) + self.pos_emb(places))
        for block in self.blocks:
            hidden = block(hidden)
        return self.final_norm(hidden)

    def _initialize(self) -> None:
        """Begin as GPT-2 did. Source: Radford et al. 2019, section 2.3, and OpenAI's code."""
        for name, each in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(each)
            elif each.ndim > 1:
                is_residual = name.endswith(("out_proj.weight", "down.weight"))
                nn.init.normal_(
                    each, std=0.02 / math.sqrt(2 * self.settings.n_layers) if is_residual else 0.02
                )
