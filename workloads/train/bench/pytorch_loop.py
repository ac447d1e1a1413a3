"""The plain loop that anyone would write on PyTorch's own layers: what ours is measured beside."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skerry_train.settings import ModelSettings, TrainSettings


class PlainGPT(nn.Module):
    """GPT-2's shape from nn.TransformerEncoderLayer."""

    def __init__(self, model: ModelSettings) -> None:
        super().__init__()
        width = model.emb_dim
        self.tokens = nn.Embedding(model.vocab_size, width)
        self.places = nn.Embedding(model.context_length, width)
        layer = nn.TransformerEncoderLayer(
            width,
            model.n_heads,
            4 * width,
            model.drop_rate,
            "gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(
            layer, model.n_layers, nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.head = nn.Linear(width, model.vocab_size, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits."""
        length = ids.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=ids.device)
        hidden = self.tokens(ids) + self.places(torch.arange(length, device=ids.device))
        return self.head(self.layers(hidden, mask=mask, is_causal=True))


class PyTorchLoop:
    """AdamW, bf16 by autocast where it is wanted, and a loss that is printed with every step."""

    def __init__(self, model: ModelSettings, train: TrainSettings, device: torch.device) -> None:
        self._model, self._train, self._device = model, train, device
        self._net = PlainGPT(model).to(device)
        self._optimizer = torch.optim.AdamW(self._net.parameters(), lr=4e-4, weight_decay=0.1)

    def run(self, steps: int) -> float:
        """Train for so many steps and return the seconds."""
        begin = time.perf_counter()
        for _ in range(steps):
            shape = (self._train.microbatch_size, self._model.context_length + 1)
            tokens = torch.randint(0, self._model.vocab_size, shape, device=self._device)
            is_16 = self._train.numbers in {"bf16", "fp16"}
            self._optimizer.zero_grad()
            with torch.autocast(self._device.type, torch.bfloat16, enabled=is_16):
                logits = self._net(tokens[:, :-1])
                loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
            loss.backward()
            self._optimizer.step()
            loss.item()
        return time.perf_counter() - begin
