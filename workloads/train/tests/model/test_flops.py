"""The numbers that are known of GPT-2 small."""

import pytest

from skerry_train.model import flops_per_token, parameters, peak_flops, utilization
from skerry_train.settings import ModelSettings


def test_parameters_are_as_published() -> None:
    assert parameters(ModelSettings()) == 163_009_536
    assert 20 * parameters(ModelSettings()) == 3_260_190_720
    assert parameters(ModelSettings(qkv_bias=True)) == 163_037_184
    assert parameters(ModelSettings(vocab_padding=128)) == 163_081_728
    assert parameters(ModelSettings(qkv_bias=True, tie_weights=True)) == 124_439_808


def test_the_work_of_a_token_is_as_counted_by_hand() -> None:
    small = ModelSettings(vocab_padding=128)

    assert flops_per_token(small, "palm") / 1e6 == pytest.approx(854.7, abs=0.05)
    assert flops_per_token(small, "causal") / 1e6 == pytest.approx(798.0, abs=0.05)


def test_utilization_is_that_of_the_published_runs() -> None:
    """The posts' 8 x A100 and the fastest of llm.c on an H100."""
    small = ModelSettings(vocab_padding=128)

    a100, h100 = peak_flops("NVIDIA A100-SXM4-40GB"), peak_flops("NVIDIA H100 80GB HBM3")

    assert utilization(small, 31_750, a100) == pytest.approx(0.087, abs=0.0005)
    assert utilization(small, 474_800, h100) == pytest.approx(0.410, abs=0.0005)
    assert utilization(small, 1000, peak_flops("AMD EPYC")) is None
