"""The loss by chunks is the loss, and so are its gradients."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from skerry_train.model.loss import chunked_loss, whole_loss
from tests.small import ids


def parts(rows: int = 40, padded: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(5)
    hidden = torch.randn(rows, 8, dtype=torch.float32, requires_grad=True)
    head = torch.randn(padded, 8, requires_grad=True)
    return hidden, head, ids((rows,))


@pytest.mark.parametrize("rows", [1, 7, 40, 4096])
def test_chunks_give_the_loss_and_the_gradients_of_the_whole(rows: int) -> None:
    hidden, head, targets = parts()
    expected = F.cross_entropy(hidden @ head[:61].T, targets)
    wanted = torch.autograd.grad(3 * expected, (hidden, head))

    loss = chunked_loss(hidden, head, targets, 61, rows)
    grads = torch.autograd.grad(3 * loss, (hidden, head))

    torch.testing.assert_close(loss, expected)
    for grad, want in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad, want)
    assert not grads[1][61:].any()


def test_the_whole_loss_leaves_padding_out() -> None:
    hidden, head, targets = parts()

    assert whole_loss(hidden, head, targets, 61) == F.cross_entropy(hidden @ head[:61].T, targets)


def test_chunks_compute_in_the_precision_around_them() -> None:
    hidden, head, targets = parts()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        whole, chunked = (f(hidden, head, targets, 61) for f in (whole_loss, chunked_loss))

    torch.testing.assert_close(chunked, whole, rtol=1e-2, atol=1e-2)
    assert chunked.dtype == torch.float32
