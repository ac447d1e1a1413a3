"""Writing on from a text: how the next token is chosen, and many texts continued at once.

It does not know where the texts come from, nor what a token stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skerry_train.errors import BadSettings, Diverged
from skerry_train.model import GPT

Pick = Callable[[Tensor], Tensor]
"""Takes logits, [B, V], and returns a token for each row, [B]."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is drawn. temperature 0 takes the likeliest; top_k None draws from all."""

    temperature: float = 1.0
    top_k: int | None = 25
    seed: int = 42

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise BadSettings(f"a temperature of {self.temperature} is not 0 or more")
        if self.top_k is not None and self.top_k < 1:
            raise BadSettings(f"top-k of {self.top_k} leaves no token to draw; give 1 or more")


def greedy(logits: Tensor) -> Tensor:
    """Return the likeliest token of each row. [B, V] to [B]."""
    return logits.argmax(-1)


def picker(sampling: Sampling) -> Pick:
    """Return a function that draws tokens, the same ones each time it is made anew.

    Draws are made on the CPU in float32, so that a seed means the same on every device.
    """
    if sampling.temperature == 0:
        return greedy
    generator = torch.Generator().manual_seed(sampling.seed)

    def pick(logits: Tensor) -> Tensor:
        count = logits.shape[-1] if sampling.top_k is None else sampling.top_k
        best, tokens = logits.topk(min(count, logits.shape[-1]))
        chances = torch.softmax(best.cpu().float() / sampling.temperature, -1)
        drawn = torch.multinomial(chances, 1, generator=generator).to(tokens.device)
        return tokens.gather(-1, drawn)[:, 0]

    return pick


def continue_texts(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    pick: Pick = greedy,
    end: int | None = None,
) -> list[list[int]]:
    """Return what the model writes after each prompt, at most new_tokens, without the end token.

    Puts the model into evaluation mode. Prompts may differ in length; each has at least one token,
    and of a long one the model sees the last tokens that its context holds. Rows are filled up at the
    right, where a causal model does not look, so that a text does not depend on its neighbours.
    Raises Diverged if the model's answer is no number.
    """
    assert all(prompts), "a prompt has at least one token"
    model.eval()
    device = next(model.parameters()).device
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    longest = max(map(len, prompts), default=0)
    ids = torch.zeros(len(prompts), longest + new_tokens, dtype=torch.long, device=device)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt)
    alive = torch.arange(len(prompts), device=device)
    with torch.inference_mode():
        for step in range(new_tokens):
            if not len(alive):
                break
            chosen = pick(_next_logits(model, ids[alive], lengths[alive], longest + step))
            if end is not None:
                alive, chosen = alive[chosen != end], chosen[chosen != end]
            ids[alive, lengths[alive]] = chosen
            lengths[alive] += 1
    rows, ends = ids.tolist(), lengths.tolist()
    return [row[len(prompt) : stop] for row, prompt, stop in zip(rows, prompts, ends, strict=True)]


def _next_logits(model: GPT, ids: Tensor, lengths: Tensor, longest: int) -> Tensor:
    """Return the logits after each row's last token, [B, V], without the columns of padding."""
    width = min(longest, model.settings.context_length)
    begins = (lengths - width).clamp(min=0)
    window = ids.gather(1, begins[:, None] + torch.arange(width, device=ids.device))
    hidden = model.hidden(window)[torch.arange(len(ids)), lengths - begins - 1]
    logits = model.out_head(hidden)[:, : model.settings.vocab_size].float()
    if not bool(torch.isfinite(logits).all()):
        raise Diverged("the model answers with no numbers; try another checkpoint")
    return logits
