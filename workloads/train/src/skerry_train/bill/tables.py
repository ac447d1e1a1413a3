"""The posts' tables: what trains cost, how good the models are, what fits, which batch is best.

Pure functions of rows. They do not know where the rows come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from skerry_train.bill.fits import batch_curve, memory_line
from skerry_train.bill.machines import Machine
from skerry_train.bill.money import cost_usd_micros, dollars
from skerry_train.bill.table import Table, decimal, money, seconds, text, whole

_GIB = 1 << 30


class CostRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a train took. Times are seconds, money micro-dollars; None is not known."""

    name: str
    machine: str | None
    price_usd_micros_per_hour: int | None
    microbatch: int | None
    global_batch: int | None
    tokens: int | None
    tokens_per_s: float | None
    run_s: float
    """From the first step's beginning to the end, with validations and checkpoints."""
    validate_s: float
    """The part of it that went into validation."""
    whole_usd_micros: int | None
    """The machine's whole time: with what came before the first step, and idling."""


class LossRow(msgspec.Struct, frozen=True, kw_only=True):
    """How good a model is: losses in nats per token, and the mean of the judge's scores."""

    name: str
    global_batch: int | None
    held_back_loss: float | None = None
    val_loss: float | None = None
    train_loss: float | None = None
    instruct_score: float | None = None


def machine_table(machines: Mapping[str, Machine]) -> Table:
    """Return what machines there are, and what an hour of each costs."""
    columns = (
        text("machine", "machine"), text("gpu", "GPU"), whole("gpus", "GPUs"),
        decimal("gpu_memory_gib", "GiB of each", 0), money("price_per_hour", "$ an hour"),
    )  # fmt: skip
    rows = [
        (
            each.name,
            each.gpu,
            each.gpus,
            each.gpu_memory_bytes / _GIB,
            each.price_usd_micros_per_hour,
        )
        for each in machines.values()
    ]
    return Table("machines", "Machines", columns, rows)


def cost_table(rows: Sequence[CostRow]) -> Table:
    """Return what each train cost, with and without its validation."""
    columns = (
        text("run", "run"), text("machine", "machine"), money("price_per_hour", "$ an hour"),
        whole("microbatch", "micro-batch"), whole("global_batch", "global batch"),
        whole("tokens", "tokens"), whole("tokens_per_s", "tokens a second"), seconds("run", "time"),
        money("cost", "cost"), seconds("validate", "validation"),
        money("validation_cost", "its cost"), seconds("without_validation", "time without"),
        money("cost_without_validation", "cost without"), money("whole_cost", "machine's whole time"),
    )  # fmt: skip
    return Table("cost", "What each train cost", columns, [_cost_values(each) for each in rows])


def loss_table(rows: Sequence[LossRow]) -> Table:
    """Return the models, the best first: by held-back loss where there is one, else validation's."""
    columns = (
        text("run", "model"), whole("global_batch", "global batch"),
        decimal("held_back_loss", "held-back loss", 3), decimal("val_loss", "validation loss", 3),
        decimal("train_loss", "training loss", 3), decimal("instruct_score", "instruction score", 2),
    )  # fmt: skip
    values = [
        (
            each.name, each.global_batch, each.held_back_loss, each.val_loss, each.train_loss,
            each.instruct_score,
        )
        for each in sorted(rows, key=_by_loss)
    ]  # fmt: skip
    # Columns that nobody has filled are left out.
    used = [n for n in range(len(columns)) if n == 0 or any(row[n] is not None for row in values)]
    return Table(
        "losses", "Losses, the lowest first",
        [columns[n] for n in used], [[row[n] for n in used] for row in values],
    )  # fmt: skip


def memory_table(points: Sequence[tuple[int, int]]) -> Table | None:
    """Return (micro-batch, peak bytes) with the line through them, None if there are too few."""
    line = memory_line(points)
    if line is None:
        return None
    rows = [(batch, used / _GIB, line.at(batch) / _GIB) for batch, used in sorted(set(points))]
    note = (
        f"Line: {line.fixed_bytes / _GIB:.2f} GiB"
        f" + {line.per_sequence_bytes / _GIB:.3f} GiB for each sequence."
    )
    columns = (
        whole("microbatch", "micro-batch"), decimal("peak_memory_gib", "peak memory (GiB)", 1),
        decimal("line_gib", "line (GiB)", 1),
    )  # fmt: skip
    return Table("memory", "Memory over the micro-batch", columns, rows, (note,))


def batch_table(points: Sequence[tuple[int, float]]) -> Table | None:
    """Return (global batch, loss) with the parabola through them, None if there are too few."""
    curve = batch_curve(points)
    if curve is None:
        return None
    rows = [(batch, loss, curve.at(batch)) for batch, loss in sorted(points)]
    best = curve.best_batch
    lowest = "It has no lowest point." if best is None else f"Its lowest point is at {best:.1f}."
    note = f"Loss = {curve.a:.6f} x² {curve.b:+.6f} x {curve.c:+.6f}, x = log2(batch). {lowest}"
    columns = (
        whole("global_batch", "global batch"), decimal("loss", "loss", 3),
        decimal("fitted_loss", "fitted", 3),
    )  # fmt: skip
    return Table("batch", "Loss over the global batch", columns, rows, (note,))


def gain_table(baseline_loss: float, losses: Sequence[tuple[str, float]]) -> Table:
    """Return what each change is worth over the baseline, the best first."""
    rows = sorted([("baseline", baseline_loss), *losses], key=lambda each: (each[1], each[0]))
    columns = (
        text("change", "change"),
        decimal("loss", "loss", 3),
        decimal("gain", "better by", 3, sign="+"),
    )
    values = [
        (name, loss, None if name == "baseline" else baseline_loss - loss) for name, loss in rows
    ]
    return Table("interventions", "What each change is worth", columns, values)


def sum_table(bills: Sequence[tuple[str, int]]) -> Table:
    """Return what was billed in all."""
    total = sum(paid for _, paid in bills)
    columns = (text("what", "what"), money("billed", "billed"))
    note = f"All of them: {dollars(total)}."
    return Table("billed", "What was billed", columns, [*bills], (note,))


def _cost_values(row: CostRow) -> tuple[str | int | float | None, ...]:
    price = row.price_usd_micros_per_hour
    cost = None if price is None else cost_usd_micros(row.run_s, price)
    validation = None if price is None else cost_usd_micros(row.validate_s, price)
    without = None if cost is None or validation is None else cost - validation
    return (
        row.name, row.machine, price, row.microbatch, row.global_batch, row.tokens, row.tokens_per_s,
        row.run_s, cost, row.validate_s, validation, row.run_s - row.validate_s, without,
        row.whole_usd_micros,
    )  # fmt: skip


def _by_loss(row: LossRow) -> tuple[float, float, float, str]:
    held, val, train = (
        float("inf") if each is None else each
        for each in (row.held_back_loss, row.val_loss, row.train_loss)
    )
    return (held, val, train, row.name)
