"""The learning rate is what PyTorch's schedulers would make it; steps that are no numbers are left out."""

import math
import warnings

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from skerry_train.run.optimizer import Changer, make_optimizer
from skerry_train.run.schedule import learning_rate
from skerry_train.settings import TrainSettings

CPU = torch.device("cpu")


def settings(**changed: object) -> TrainSettings:
    told = {"microbatch_size": 1, "dataset": "d", "use_amp": False, "learning_rate": 1.4e-3}
    return TrainSettings(**(told | changed))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("steps", "percent"), [(100, 5), (40, 50), (1000, 1), (7, 30)])
def test_the_schedule_is_pytorch_s(steps: int, percent: int) -> None:
    train = settings(schedule_learning_rate=True, warmup_period_percent=percent)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.4e-3)
    warm = int(steps * percent / 100)
    up = LinearLR(optimizer, 1e-5, 1.0, warm)
    down = CosineAnnealingLR(optimizer, steps - warm, 1.4e-4)
    theirs: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR calls its own parts in a way they warn of
        both = SequentialLR(optimizer, [up, down], [warm])
        for _ in range(steps):
            theirs.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            both.step()

    assert [learning_rate(step, steps, train) for step in range(steps)] == pytest.approx(theirs)


def test_without_a_schedule_the_rate_stays() -> None:
    assert {learning_rate(step, 9, settings()) for step in range(9)} == {1.4e-3}


@pytest.mark.parametrize("changed", [{}, {"fused_optimizer": False}, {"use_amp": True}], ids=str)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_step_whose_gradients_are_no_numbers_changes_nothing(
    changed: dict[str, object], bad: float
) -> None:
    layer = torch.nn.Linear(2, 1)
    train = settings(clipping_max_norm=1.0, **changed)
    changer = Changer(make_optimizer(layer, train, CPU), train, CPU)
    seen: list[torch.Tensor] = []
    for factor in (1.0, bad, 1.0):
        changer.scale(layer(torch.full((1, 2), factor)).sum()).backward()
        made = changer.change(0.1)
        seen.append(layer.weight.detach().clone())
        assert bool(made.is_skipped) == (not math.isfinite(factor))

    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    assert all(int(each["step"]) == 2 for each in changer.optimizer.state.values())


def test_gradients_are_clipped_to_the_norm_and_the_norm_before_is_told() -> None:
    weight = torch.nn.Parameter(torch.zeros(4))
    train = settings(clipping_max_norm=2.0)
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    weight.grad = torch.full((4,), 5.0)
    taken: list[torch.Tensor] = []
    optimizer.register_step_pre_hook(
        lambda *_: taken.append(weight.grad.clone()) if weight.grad is not None else None
    )

    made = Changer(optimizer, train, CPU).change(0.1)

    assert float(made.grad_norm) == 10.0
    assert taken[0].norm().item() == pytest.approx(2.0, rel=1e-5)


def test_only_matrices_are_pulled_to_zero_when_that_is_wanted() -> None:
    layer = torch.nn.Linear(2, 2)

    groups = make_optimizer(layer, settings(decay_all=False, weight_decay=0.3), CPU).param_groups

    assert [(each["weight_decay"], [p.ndim for p in each["params"]]) for each in groups] == [
        (0.3, [2]),
        (0.0, [1]),
    ]
