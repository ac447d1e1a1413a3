"""What is best is judged by the loss that there is, and never by what is no number."""

import math

import pytest

from skerry_train.errors import Diverged
from skerry_train.record import Step
from skerry_train.run.measures import Measured
from skerry_train.run.progress import Progress


def step(number: int, loss: float) -> Step:
    return Step(
        step=number, tokens=1, loss=loss, loss_min=loss, loss_max=loss, lr=1.0, grad_norm=1.0
    )


def measured(loss: float, *, is_skipped: bool = False) -> Measured:
    return Measured(loss, loss, loss, 1.0, is_skipped)


def test_without_validation_the_mean_since_the_last_checkpoint_judges() -> None:
    progress = Progress(best_loss=3.0, best_step=1)
    for loss in (2.0, 3.0):
        progress.hear(measured(loss), step(2, loss))

    assert progress.judge(7)
    assert (progress.best_loss, progress.best_step) == (2.5, 7)


@pytest.mark.parametrize("loss", [3.0, 3.5, math.nan, math.inf])
def test_a_validation_that_is_no_better_is_not_the_best(loss: float) -> None:
    progress = Progress(best_loss=3.0, best_step=1, validation_loss=loss)

    assert not progress.judge(7)
    assert (progress.best_loss, progress.best_step) == (3.0, 1)


def test_gradients_that_stay_no_numbers_end_a_run() -> None:
    progress = Progress()
    for number in range(100):
        progress.hear(measured(1.0, is_skipped=True), step(number, 1.0))

    with pytest.raises(Diverged, match="gradients of 100 steps at step 100 are no number"):
        progress.hear(measured(1.0, is_skipped=True), step(100, 1.0))
