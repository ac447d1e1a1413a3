"""The tables of recorded runs.

It does not know who asked for them, nor how they are written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from skerry_train.bill.status import Status, status
from skerry_train.bill.table import Table, money, seconds, text
from skerry_train.bill.tables import (
    CostRow,
    LossRow,
    batch_table,
    cost_table,
    loss_table,
    memory_table,
)
from skerry_train.record import Clock, Summary, read_summary


class _Score(msgspec.Struct, frozen=True):
    mean: float | None = None


class _Evaluation(msgspec.Struct, frozen=True):
    held_back_loss: float | None = None
    instruct_score: _Score | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to: a row in each table, and the points that it gives to the fits."""

    cost: CostRow
    loss: LossRow
    standing: Status
    parameters: int | None
    peak_memory_bytes: int | None


def outcome(run: Path, machines: Path | None = None) -> Outcome:
    """Return what a run came to, or came to so far.

    machines: a file that adds to the machines that are known. Raises BadSettings if there is no run.
    """
    standing, summary, found = status(run, machines), read_summary(run), _evaluation(run)
    session = standing.records.sessions[-1] if standing.records.sessions else None
    microbatch = session.microbatch if session else None
    global_batch = session.global_batch if session else None
    return Outcome(
        cost=_cost_row(standing, summary, microbatch, global_batch),
        loss=_loss_row(standing, summary, found, global_batch),
        standing=standing,
        parameters=session.parameters if session else None,
        peak_memory_bytes=summary.peak_memory_bytes if summary else None,
    )


def report_tables(outcomes: Sequence[Outcome]) -> list[Table]:
    """Return the tables of some runs: cost, clock, losses, and the fits for which there are enough.

    A memory line is drawn through runs of models of one size, the batch curve through all.
    """
    memory: dict[int | None, list[tuple[int, int]]] = defaultdict(list)
    for each in outcomes:
        if each.peak_memory_bytes and each.cost.microbatch:
            memory[each.parameters].append((each.cost.microbatch, each.peak_memory_bytes))
    batches = _of_one_kind([each.loss for each in outcomes])
    fits = [*(memory_table(points) for points in memory.values()), batch_table(batches)]
    return [
        cost_table([each.cost for each in outcomes]),
        _clock_table([each.standing for each in outcomes]),
        loss_table([each.loss for each in outcomes]),
        *(each for each in fits if each is not None),
    ]


def _of_one_kind(rows: Sequence[LossRow]) -> list[tuple[int, float]]:
    """Return (global batch, loss) by the first kind of loss that all the runs have."""
    for kind in ("held_back_loss", "val_loss", "train_loss"):
        losses = [getattr(each, kind) for each in rows]
        if all(each is not None for each in losses):
            pairs = zip(rows, losses, strict=True)
            return [(row.global_batch, loss) for row, loss in pairs if row.global_batch]
    return []


def _cost_row(
    standing: Status, summary: Summary | None, microbatch: int | None, global_batch: int | None
) -> CostRow:
    clock, steps = standing.clock_s, standing.records.steps
    last = steps[-1] if steps else None
    rate = summary.tokens_per_s if summary else None
    if rate is None and last is not None and last.train_s > 0:
        rate = last.tokens / last.train_s
    return CostRow(
        name=standing.name,
        machine=standing.machine.name if standing.machine else None,
        price_usd_micros_per_hour=standing.price_usd_micros_per_hour,
        microbatch=microbatch,
        global_batch=global_batch,
        tokens=last.tokens if last else None,
        tokens_per_s=rate,
        run_s=clock.total - clock.setup - clock.idle,
        validate_s=clock.validate,
        whole_usd_micros=standing.costs.total if standing.costs else None,
    )


def _loss_row(
    standing: Status, summary: Summary | None, found: _Evaluation, global_batch: int | None
) -> LossRow:
    records = standing.records
    return LossRow(
        name=standing.name,
        global_batch=global_batch,
        held_back_loss=found.held_back_loss,
        val_loss=records.validations[-1].loss if records.validations else None,
        train_loss=summary.final_train_loss if summary else _last_loss(standing),
        instruct_score=found.instruct_score.mean if found.instruct_score else None,
    )


def _last_loss(standing: Status) -> float | None:
    return next(
        (each.loss for each in reversed(standing.records.steps) if each.loss is not None), None
    )


def _clock_table(runs: Sequence[Status]) -> Table:
    parts = Clock.__struct_fields__
    columns = [text("run", "run"), *(seconds(part, part) for part in parts), seconds("all", "all")]
    columns += [money(f"{part}_cost", f"{part} $") for part in parts]
    rows = [
        (
            each.name,
            *msgspec.structs.astuple(each.clock_s),
            each.clock_s.total,
            *(msgspec.structs.astuple(each.costs) if each.costs else [None] * len(parts)),
        )
        for each in runs
    ]
    return Table("clock", "What the time went into", columns, rows)


def _evaluation(run: Path) -> _Evaluation:
    try:
        return msgspec.json.decode((run / "evaluation.json").read_bytes(), type=_Evaluation)
    except (OSError, msgspec.DecodeError):
        return _Evaluation()
