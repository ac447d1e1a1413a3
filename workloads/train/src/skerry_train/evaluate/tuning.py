"""Fine-tuning on instructions: epoch after epoch until the validation loss rises, then the best one.

It does not know what the rows say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor
from torch.nn import functional as F

from skerry_train.errors import BadSettings, Diverged
from skerry_train.evaluate.instructions import IGNORED, collate
from skerry_train.model import GPT

Texts = Sequence[Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a model is tuned. The numbers are those of the posts, which are the book's."""

    learning_rate: float = 5e-5
    weight_decay: float = 0.1
    batch: int = 8
    length_max: int = 1024
    epochs_max: int = 50  # the posts' models stop after 2 to 8
    seed: int = 42

    def __post_init__(self) -> None:
        if min(self.batch, self.length_max, self.epochs_max) < 1:
            raise BadSettings("batch, length and epochs of a tuning have to be 1 or more")


class Epoch(msgspec.Struct, frozen=True):
    """What one time through the training rows came to: mean losses per token, in nats."""

    epoch: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True)
class Tuned:
    """How a tuning went. best: the number of the epoch whose weights the model has now, from 1."""

    best: int
    epochs: list[Epoch]


def tune(
    model: GPT,
    train: Texts,
    validation: Texts,
    pad: int,
    plan: Plan,
    tell: Callable[[Epoch], object] = lambda _: None,
) -> Tuned:
    """Tune a model where it stands; afterwards it has the weights of the best epoch.

    train, validation: token ids of whole texts. An epoch takes the training texts in a new order, and
    leaves out the last few that fill no batch. Raises Diverged if a validation loss is no number.
    """
    length_max = min(plan.length_max, model.settings.context_length)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
    )
    torch.manual_seed(plan.seed)  # for dropout, if the model has any
    order = torch.Generator().manual_seed(plan.seed)
    epochs: list[Epoch] = []
    best: dict[str, Tensor] = {}
    best_loss = math.inf
    while len(epochs) < plan.epochs_max:
        model.train()
        shuffled = [train[i] for i in torch.randperm(len(train), generator=order).tolist()]
        batches = _batches(shuffled, plan.batch)
        whole = [each for each in batches if len(each) == plan.batch] or batches
        train_loss = _train(model, optimizer, whole, pad, length_max)
        loss = validation_loss(model, validation, pad, plan)
        epochs.append(Epoch(len(epochs) + 1, train_loss, loss))
        tell(epochs[-1])
        if not math.isfinite(loss):
            raise Diverged(
                "the validation loss of the tuning is no number; try a lower --learning-rate"
            )
        if loss >= best_loss:
            break
        best_loss = loss
        # Copies, on the CPU: the state of a model is the model's own memory, which the next step changes.
        best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best)
    return Tuned(min(epochs, key=lambda each: each.validation_loss).epoch, epochs)


def validation_loss(model: GPT, texts: Texts, pad: int, plan: Plan) -> float:
    """Return the mean loss in nats over all targets of the texts. Puts the model into evaluation mode."""
    model.eval()
    length_max = min(plan.length_max, model.settings.context_length)
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in _batches(texts, plan.batch):
            loss, targets = _summed(model, *collate(batch, pad, length_max))
            total, count = total + loss.item(), count + targets
    return total / count


def _train(
    model: GPT, optimizer: torch.optim.Optimizer, batches: list[Texts], pad: int, length_max: int
) -> float:
    """Take one step for each batch. Returns the mean loss over all targets, in nats."""
    total, count = 0.0, 0
    for batch in batches:
        loss, targets = _summed(model, *collate(batch, pad, length_max))
        optimizer.zero_grad(set_to_none=True)
        (loss / targets).backward()
        optimizer.step()
        total, count = total + loss.item(), count + targets
    return total / count


def _summed(model: GPT, inputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Return the sum of the losses and how many targets they are."""
    device = next(model.parameters()).device
    logits = model(inputs.to(device))[..., : model.settings.vocab_size].float()
    loss = F.cross_entropy(
        logits.flatten(0, 1), targets.to(device).flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return loss, int((targets != IGNORED).sum())


def _batches(texts: Texts, size: int) -> list[Texts]:
    return [texts[i : i + size] for i in range(0, len(texts), size)]
