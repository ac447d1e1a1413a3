"""How a model computes: its precision, its attention kernels, compiled or not, on how many devices.

It does not know what it computes, nor when.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel

from skerry_train.errors import DoesNotFit
from skerry_train.model import GPT
from skerry_train.settings import Attention, ModelSettings, Precision, TrainSettings
from skerry_train.world import World

_KERNELS = {
    # On Hopper cuDNN's is the fastest. The last is always there.
    "auto": [
        SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION,
        SDPBackend.MATH,
    ],
    "cudnn": [SDPBackend.CUDNN_ATTENTION], "flash": [SDPBackend.FLASH_ATTENTION],
    "efficient": [SDPBackend.EFFICIENT_ATTENTION], "math": [SDPBackend.MATH],
}  # fmt: skip

Net = Callable[[Tensor, Tensor], Tensor]
"""Inputs and targets, [B, T] each, to the mean loss."""


def make_model(model: ModelSettings, train: TrainSettings, device: torch.device) -> GPT:
    """Return a model with its first weights, which follow from the seed alone."""
    torch.manual_seed(train.random_seed)
    made = GPT(
        model,
        attention=train.attention,
        parts=train.parts,
        fused_qkv=train.fused_qkv,
        loss=train.loss,
    )
    return made.to(device)


def make_nets(made: GPT, train: TrainSettings, world: World) -> tuple[Net, nn.Module]:
    """Return the model as it is validated and as it is trained: compiled, and shared by all processes."""
    net: nn.Module = torch.compile(made) if train.compile else made  # pyright: ignore[reportAssignmentType]
    if world.size == 1:
        return net, net
    shared = DistributedDataParallel(
        net,
        device_ids=[world.device.index] if world.device.type == "cuda" else None,
        gradient_as_bucket_view=True,
        # The same graph each time may be planned ahead; a graph that at times sends nothing is another.
        static_graph=train.accumulation(world.size) == 1,
    )
    if train.bf16_gradients:
        from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

        shared.register_comm_hook(None, default_hooks.bf16_compress_hook)
    return net, shared


@contextlib.contextmanager
def computing(train: TrainSettings, device: torch.device) -> Generator[None]:
    """Have everything inside computed with the kernels and the precision that a run wants."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if train.numbers == "fp32" else "high")
    try:
        with kernels(train.attention, device), told_what_did_not_fit():
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def autocast(numbers: Precision, device: torch.device) -> torch.autocast:
    """Return what makes matrix products run in 16 bits, if the precision is one of them."""
    dtype = torch.float16 if numbers == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=numbers in {"fp16", "bf16"})


@contextlib.contextmanager
def kernels(attention: Attention, device: torch.device) -> Generator[None]:
    """Choose the kernels of attention."""
    if attention == "plain" or device.type != "cuda":
        yield
        return
    with sdpa_kernel(_KERNELS[attention], set_priority=True):
        yield


@contextlib.contextmanager
def told_what_did_not_fit() -> Generator[None]:
    """Make DoesNotFit of an error that says the memory is out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise DoesNotFit(
            "the batch needs more memory than the device has: take a smaller microbatch_size"
            " (`skerry-train fit` finds the largest), or set loss to 'chunked'"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that the memory is out, of a device or of the machine."""
    words = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(each in str(error) for each in words)
    )
