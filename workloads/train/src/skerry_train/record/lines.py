"""The lines of `metrics.jsonl`: what a run writes down while it goes, and how it is read again.

It does not know who writes them, nor what is made of them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

METRICS = "metrics.jsonl"
_LINE_BYTES_MAX = 1 << 16


class Session(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="session"):
    """A process has begun to train, or gone on, at a step."""

    at: str
    """The time in UTC, `2026-11-24T02:00:00Z`."""
    step: int
    steps: int
    """How many there will be in the whole run."""
    world_size: int
    device: str
    parameters: int
    global_batch: int
    """Sequences of a step, over all processes."""
    microbatch: int
    tokens_per_step: int
    machine: str | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="step"):
    """A step is done. `step` counts from 1; `tokens` are those seen so far."""

    step: int
    tokens: int
    loss: float | None
    """The mean over the global batch, in nats; None if it was no number."""
    loss_min: float | None
    """The lowest of its micro-batches, over all processes."""
    loss_max: float | None
    lr: float
    grad_norm: float | None
    """Before clipping; None if it was no number."""
    is_clipped: bool = False
    is_skipped: bool = False
    """The gradients were no numbers, and the weights were left as they were."""
    tokens_per_s: float | None = None
    """Over all processes, without validation and checkpoints."""
    mfu: float | None = None
    train_s: float = 0.0
    """Seconds of training so far, over all sessions."""


class Validation(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="validation"):
    """The loss on the validation split, after so many steps."""

    step: int
    loss: float
    tokens: int
    seconds: float


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="checkpoint"):
    """A checkpoint was taken. The losses are of training, since the one before."""

    step: int
    name: str
    is_best: bool
    loss: float | None
    loss_min: float | None
    loss_max: float | None
    seconds: float
    """How long the run was held up by it."""


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds by what they went into."""

    setup: float = 0.0
    compile: float = 0.0
    train: float = 0.0
    validate: float = 0.0
    checkpoint: float = 0.0
    idle: float = 0.0

    @property
    def total(self) -> float:
        """Return all of them."""
        return sum(msgspec.structs.astuple(self))

    def plus(self, other: Clock) -> Clock:
        """Return both together."""
        names = self.__struct_fields__
        return Clock(**{each: getattr(self, each) + getattr(other, each) for each in names})


class End(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="end"):
    """A session has ended. `reason`: done, stopped, budget, diverged or failed."""

    step: int
    reason: str
    clock_s: Clock
    """That of this session."""


Line = Session | Step | Validation | Checkpoint | End


@dataclass
class Records:
    """All that a run has written down. Of a step that was done twice, the later holds."""

    sessions: list[Session] = field(default_factory=list[Session])
    steps: list[Step] = field(default_factory=list[Step])
    """In their order."""
    validations: list[Validation] = field(default_factory=list[Validation])
    checkpoints: list[Checkpoint] = field(default_factory=list[Checkpoint])
    ends: list[End] = field(default_factory=list[End])
    is_open: bool = False
    """The last session has not ended: it goes on, or was killed."""


def read_records(run: Path) -> Records:
    """Read what a run has written down; nothing, if it has not begun.

    A line that is torn, or of a kind that is not known, is passed over. What came after the step from
    which a later session went on is left out.
    """
    steps: dict[int, Step] = {}
    validations: dict[int, Validation] = {}
    checkpoints: dict[str, Checkpoint] = {}
    records = Records()
    for line in _lines(run / METRICS):
        match line:
            case Session():
                records.sessions.append(line)
                records.is_open = True
                # One that goes on from an earlier step undoes what came after it.
                steps = {number: each for number, each in steps.items() if number <= line.step}
                validations = {n: each for n, each in validations.items() if n <= line.step}
            case Step():
                steps[line.step] = line
            case Validation():
                validations[line.step] = line
            case Checkpoint():
                checkpoints[line.name] = line
            case End():
                records.ends.append(line)
                records.is_open = False
    records.steps = [steps[number] for number in sorted(steps)]
    records.validations = [validations[number] for number in sorted(validations)]
    records.checkpoints = sorted(checkpoints.values(), key=lambda each: each.step)
    return records


def _lines(path: Path) -> Iterator[Line]:
    decoder = msgspec.json.Decoder(Line)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        while text := file.readline(_LINE_BYTES_MAX):
            with contextlib.suppress(msgspec.DecodeError, RecursionError):
                yield decoder.decode(text)


def finite(value: float) -> float | None:
    """Return a number that JSON can hold, None for what is no number."""
    return value if math.isfinite(value) else None
