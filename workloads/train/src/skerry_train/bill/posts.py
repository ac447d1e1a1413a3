"""The posts' own figures, and the tables that they come to: what the bill's arithmetic is checked on.

The figures are in `posts.json`, with where they are from.
"""

from __future__ import annotations

from importlib import resources

import msgspec

from skerry_train.bill.machines import read_machines
from skerry_train.bill.table import Column, Table, text, whole
from skerry_train.bill.tables import (
    CostRow,
    LossRow,
    batch_table,
    cost_table,
    gain_table,
    loss_table,
    memory_table,
    sum_table,
)


class _Train(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    machine: str
    microbatch: int
    global_batch: int
    steps: int
    tokens: int
    run_s: float
    tokens_per_s: float | None = None
    validations: int = 0
    validation_s: float = 0.0
    billed_usd_micros: int | None = None


class _Bill(msgspec.Struct, frozen=True):
    what: str
    usd_micros: int


class _Model(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    global_batch: int
    held_back_loss: float
    instruct_score: float | None = None


class _BatchSize(msgspec.Struct, frozen=True):
    global_batch: int
    loss: float


class _Memory(msgspec.Struct, frozen=True):
    microbatch: int
    peak_memory_bytes: int


class _Intervention(msgspec.Struct, frozen=True):
    name: str
    loss: float


class _Part(msgspec.Struct, frozen=True):
    part: str
    count: int
    each: int


class Posts(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of the posts."""

    source: str
    trains: list[_Train]
    bills: list[_Bill]
    models: list[_Model]
    batch_sizes: list[_BatchSize]
    memory: list[_Memory]
    baseline_loss: float
    interventions: list[_Intervention]
    parameters: list[_Part]

    @property
    def parameters_total(self) -> int:
        """Return how many numbers the posts' model has."""
        return sum(each.count * each.each for each in self.parameters)


def read_posts() -> Posts:
    """Return the posts' figures."""
    data = resources.files("skerry_train.bill").joinpath("posts.json").read_bytes()
    return msgspec.json.decode(data, type=Posts)


def posts_tables(posts: Posts) -> list[Table]:
    """Return the posts' tables, computed from their figures."""
    fits = (
        memory_table([(each.microbatch, each.peak_memory_bytes) for each in posts.memory]),
        batch_table([(each.global_batch, each.loss) for each in posts.batch_sizes]),
    )
    return [
        cost_table([_cost_row(each) for each in posts.trains]),
        sum_table([(each.what, each.usd_micros) for each in posts.bills]),
        loss_table([LossRow(**msgspec.structs.asdict(each)) for each in posts.models]),
        *(each for each in fits if each is not None),
        gain_table(posts.baseline_loss, [(each.name, each.loss) for each in posts.interventions]),
        _parameter_table(posts),
    ]


def _cost_row(train: _Train) -> CostRow:
    return CostRow(
        name=train.name,
        machine=train.machine,
        price_usd_micros_per_hour=read_machines()[train.machine].price_usd_micros_per_hour,
        microbatch=train.microbatch,
        global_batch=train.global_batch,
        tokens=train.tokens,
        tokens_per_s=train.tokens_per_s,
        run_s=train.run_s,
        validate_s=train.validations * train.validation_s,
        whole_usd_micros=train.billed_usd_micros,
    )


def _parameter_table(posts: Posts) -> Table:
    columns: tuple[Column, ...] = (
        text("part", "part"), whole("count", "count"), whole("each", "parameters of each"),
        whole("together", "together"),
    )  # fmt: skip
    rows = [(each.part, each.count, each.each, each.count * each.each) for each in posts.parameters]
    total = posts.parameters_total
    note = f"Together {total:,}; 20 tokens for each are {20 * total:,}."
    return Table("parameters", "The model's parameters", columns, rows, (note,))
