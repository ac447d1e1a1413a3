"""AdamW, and one change of the weights by it: scaled, clipped or left out, without waiting for a GPU.

It does not know where gradients come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skerry_train.settings import TrainSettings


def make_optimizer(
    model: nn.Module, train: TrainSettings, device: torch.device
) -> torch.optim.AdamW:
    """Return AdamW over a model's weights, each once, in the order of their names."""
    weights = [each for each in model.parameters() if each.requires_grad]
    if train.decay_all:
        groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": train.weight_decay}]
    else:
        # As in GPT-2: matrices are pulled to zero, biases and norms are not.
        groups = [
            {"params": [w for w in weights if w.ndim >= 2], "weight_decay": train.weight_decay},
            {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
        ]
    return torch.optim.AdamW(
        groups,
        lr=train.learning_rate,
        betas=(train.adam_beta_1, train.adam_beta_2),
        fused=train.fused_optimizer and device.type in {"cpu", "cuda"},
    )


@dataclass(frozen=True)
class Change:
    """What a change of the weights was like, as numbers on the device: nobody has waited for them."""

    grad_norm: Tensor
    is_skipped: Tensor


class Changer:
    """Changes weights by their gradients."""

    def __init__(
        self, optimizer: torch.optim.AdamW, train: TrainSettings, device: torch.device
    ) -> None:
        self.optimizer = optimizer
        self._weights = [each for group in optimizer.param_groups for each in group["params"]]
        self._norm_max = train.clipping_max_norm
        self._is_fused = bool(optimizer.defaults["fused"])
        # fp16 reaches down to 6e-8 only; what is smaller is lost unless the loss is scaled up.
        self.scaler = torch.amp.GradScaler(device.type) if train.numbers == "fp16" else None

    def scale(self, loss: Tensor) -> Tensor:
        """Return the loss to go backward from."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def change(self, rate: float) -> Change:
        """Change the weights at a learning rate and forget the gradients.

        Where a gradient is no number, nothing is changed.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        gradients = [each.grad for each in self._weights if each.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self._norm_max is not None:
            torch.nn.utils.clip_grads_with_norm_(self._weights, self._norm_max, norm)
        is_skipped = ~torch.isfinite(norm)
        if self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        elif self._is_fused:
            # The kernel reads on the device whether to leave everything as it is. It is what a scaler
            # sets; without one, this is the way to skip a step that waits for nothing.
            self.optimizer.found_inf = is_skipped.float()  # pyright: ignore[reportAttributeAccessIssue]
            self.optimizer.step()
        elif not is_skipped.item():
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Change(norm, is_skipped)

    def state(self) -> dict[str, Any]:
        """Return what must be kept of the scaler."""
        return {} if self.scaler is None else self.scaler.state_dict()
