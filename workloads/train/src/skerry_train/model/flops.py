"""Counting a model's parameters and the work of training it on one token: pure arithmetic.

It does not know how fast anything is, but for what data sheets promise.
"""

from __future__ import annotations

from typing import Literal

from skerry_train.settings import ModelSettings

Convention = Literal["palm", "causal"]

# Dense TFLOP/s with 16-bit inputs that data sheets give, by a part of the device's name; the first
# that is found holds. Sources: NVIDIA's data sheets of each.
PEAK_TFLOPS = (
    ("B200", 2250.0), ("H200", 989.4), ("H100 PCIe", 756.0), ("H100 NVL", 835.0), ("H100", 989.4),
    ("GH200", 989.4), ("A100", 312.0), ("A40", 149.7), ("A10G", 70.0), ("A10", 125.0), ("L40S", 362.0),
    ("L40", 181.0), ("L4", 121.0), ("V100", 125.0), ("T4", 65.0), ("4090", 165.2), ("3090", 71.0),
)  # fmt: skip


def parameters(model: ModelSettings) -> int:
    """Return how many numbers are trained, the rows of padding among them."""
    width, rows = model.emb_dim, model.padded_vocab_size
    attention = 4 * width * width + width + (3 * width if model.qkv_bias else 0)
    forward = 8 * width * width + 5 * width
    norms = 4 * width
    blocks = model.n_layers * (attention + forward + norms)
    embeddings = rows * width + model.context_length * width
    head = 0 if model.tie_weights else rows * width
    return blocks + embeddings + head + 2 * width


def flops_per_token(model: ModelSettings, convention: Convention = "palm") -> int:
    """Return the floating-point operations of training on one token: forward and backward.

    Six for each weight of a matrix, and the attention over the whole context (`palm`) or the half
    that is needed (`causal`). Source: Chowdhery et al. 2022, "PaLM", appendix B.
    """
    width, layers = model.emb_dim, model.n_layers
    weights = layers * 12 * width * width + model.padded_vocab_size * width
    attention = 12 * layers * width * model.context_length
    return 6 * weights + (attention if convention == "palm" else attention // 2)


def peak_flops(device_name: str) -> float | None:
    """Return what a device's data sheet promises per second, None if it is not known."""
    for part, tflops in PEAK_TFLOPS:
        if part in device_name:
            return tflops * 1e12
    return None


def utilization(
    model: ModelSettings,
    tokens_per_s: float,
    peak: float | None,
    convention: Convention = "palm",
) -> float | None:
    """Return which part of the peak (operations a second, of all devices) goes into the model: MFU."""
    return tokens_per_s * flops_per_token(model, convention) / peak if peak else None
