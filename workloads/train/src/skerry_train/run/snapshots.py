"""Taking what a checkpoint holds from a model and its optimizer, and giving it back to others.

Exact both ways, and the same however model and optimizer compute. It does not know of files.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skerry_train.errors import BadCheckpoint
from skerry_train.model import GPT, from_stored, to_stored

MOMENTS = ("exp_avg", "exp_avg_sq")


def take_model(model: GPT) -> dict[str, Tensor]:
    """Return a copy of a model's weights in the computer's own memory, as they are stored."""
    return _to_host(to_stored(model.state_dict(), model.settings))


def take_optimizer(model: GPT, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return a copy of what an optimizer knows of each weight, as it is stored; nothing before a step."""
    stored: dict[str, Tensor] = {}
    for moment in MOMENTS:
        held = {
            name: optimizer.state[each][moment]
            for name, each in _weights(model).items()
            if moment in optimizer.state.get(each, {})
        }
        for name, tensor in to_stored(held, model.settings).items() if held else ():
            stored[f"{moment}/{name}"] = tensor
    if not stored:
        return {}
    stored["step"] = next(iter(optimizer.state.values()))["step"].reshape(1)
    return _to_host(stored)


def give_model(model: GPT, stored: dict[str, Tensor]) -> None:
    """Give a model the weights that were stored. Raises BadCheckpoint if they are another's."""
    shapes = {name: each.shape for name, each in model.state_dict().items()}
    model.load_state_dict(from_stored(stored, model.settings, shapes))


def give_optimizer(model: GPT, optimizer: torch.optim.Optimizer, stored: dict[str, Tensor]) -> None:
    """Give an optimizer what was stored of one. Raises BadCheckpoint if that is another model's."""
    if not stored:
        return
    if "step" not in stored:
        raise BadCheckpoint("its optimizer has no step")
    weights = _weights(model)
    shapes = {name: each.shape for name, each in weights.items()}
    moments = {
        moment: from_stored(
            {
                name.removeprefix(f"{moment}/"): tensor
                for name, tensor in stored.items()
                if name.startswith(f"{moment}/")
            },
            model.settings,
            shapes,
        )
        for moment in MOMENTS
    }
    is_fused = bool(optimizer.defaults.get("fused"))
    for name, weight in weights.items():
        step = stored["step"].reshape(()).clone()
        optimizer.state[weight] = {
            "step": step.to(weight.device) if is_fused else step,
            **{moment: moments[moment][name].to(weight.device).clone() for moment in MOMENTS},
        }


def _weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return a model's weights by name, each once."""
    return dict(model.named_parameters())


def _to_host(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return copies in the computer's own memory; what a GPU sends is awaited at the end, once."""
    copies: dict[str, Tensor] = {}
    is_cuda = False
    for name, tensor in tensors.items():
        source = tensor.detach()
        is_cuda = is_cuda or source.is_cuda
        host = torch.empty(source.shape, dtype=source.dtype, pin_memory=source.is_cuda)
        copies[name] = host.copy_(source, non_blocking=True)
    if is_cuda:
        torch.cuda.synchronize()
    return copies
