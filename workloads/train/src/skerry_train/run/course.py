"""What a run does with what its loop comes to: writes it down, saves it, judges it, stops it.

Only the first process has a journal and a keeper of checkpoints; the others do the same without. It
does not know how a step is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from skerry_train.bill import cost_usd_micros
from skerry_train.errors import RankLost
from skerry_train.model import GPT, utilization
from skerry_train.record import Checkpoint, Clock, Journal, Line, Step, Validation, finite
from skerry_train.run.checkpoints import Keeper, Meta, Snapshot
from skerry_train.run.clock import SplitClock
from skerry_train.run.computing import Net
from skerry_train.run.folder import checkpoint_name
from skerry_train.run.measures import Measured, Wishes
from skerry_train.run.optimizer import Changer
from skerry_train.run.planning import Plan
from skerry_train.run.progress import Progress, Since
from skerry_train.run.schedule import learning_rate
from skerry_train.run.snapshots import take_model, take_optimizer
from skerry_train.run.validation import Held, validate
from skerry_train.settings import TrainSettings
from skerry_train.world import StopRequest, World


@dataclass
class Books:
    """What the first process alone keeps."""

    journal: Journal
    keeper: Keeper
    show: Callable[[Step], None]
    """Told each step as it becomes known."""
    saved: Callable[[], None]
    """Told that a checkpoint was taken."""


@dataclass
class Course:
    """A run on its way. `before`: the clock of earlier sessions; `peak`: flops a second, of all devices."""

    model: GPT
    net: Net
    changer: Changer
    train: TrainSettings
    plan: Plan
    world: World
    clock: SplitClock
    stop: StopRequest
    held: Held | None
    books: Books | None
    now: Callable[[], datetime]
    before: Clock = field(default_factory=Clock)
    progress: Progress = field(default_factory=Progress)
    peak: float | None = None
    price_usd_micros_per_hour: int | None = None
    last_step: int = 0
    """How many steps are done, as far as is known."""
    _read_at_s: float = 0.0
    _saved_at_s: float = 0.0

    def __post_init__(self) -> None:
        self.last_step = self.plan.first_step
        self._saved_at_s = self.before.total

    def cost_usd_micros(self, clock: Clock) -> int | None:
        """Return what a clock's time costs, None if the price is not known."""
        price = self.price_usd_micros_per_hour
        return None if price is None else cost_usd_micros(clock.total, price)

    def wishes(self) -> Wishes:
        """Return what this process wants of all."""
        if self.books is None:
            return Wishes(stop=self.stop.is_made)
        now = self.before.plus(self.clock.read())
        cost, budget, minutes = (
            self.cost_usd_micros(now), self.train.budget_usd, self.train.checkpoint_minutes,
        )  # fmt: skip
        return Wishes(
            stop=self.stop.is_made,
            budget=budget is not None and cost is not None and cost >= budget * 1e6,
            failed=self.books.keeper.has_failed,
            save=minutes is not None and now.total - self._saved_at_s >= minutes * 60,
        )

    def measured(self, last: int, steps: list[Measured]) -> None:
        """Take in steps, up to this one. Raises Diverged."""
        train_s = self.clock.read().train
        spent_s, self._read_at_s = train_s - self._read_at_s, train_s
        first, self.last_step = last - len(steps), last
        is_compiled_here = self.train.compile and first == self.plan.first_step
        speed = len(steps) * self.plan.part.tokens_per_step / spent_s if spent_s > 0 else None
        lines: list[Line] = []
        try:
            for place, each in enumerate(steps):
                at_s = self.before.train + train_s - spent_s * (len(steps) - 1 - place) / len(steps)
                line = self._line(first + place, each, None if is_compiled_here else speed, at_s)
                lines.append(line)
                self.progress.hear(each, line)
        finally:
            if self.books is not None:
                self.books.journal.add(lines)
                for line in lines:
                    assert isinstance(line, Step)
                    self.books.show(line)

    def _line(self, step: int, each: Measured, speed: float | None, at_s: float) -> Step:
        """Return what is written down of a step, counted from 0."""
        limit = self.train.clipping_max_norm
        mfu = utilization(self.model.settings, speed, self.peak) if speed is not None else None
        return Step(
            step=step + 1,
            tokens=self.plan.tokens_after(step),
            loss=finite(each.loss),
            loss_min=finite(each.loss_min),
            loss_max=finite(each.loss_max),
            lr=learning_rate(step, self.plan.steps, self.train),
            grad_norm=finite(each.grad_norm),
            is_clipped=limit is not None and each.grad_norm > limit,
            is_skipped=each.is_skipped,
            tokens_per_s=speed,
            mfu=mfu,
            train_s=at_s,
        )

    def validate(self, step: int) -> None:
        """Measure the loss on the validation split."""
        assert self.held is not None
        self.world.synchronize()
        begin_s = self.clock.read().validate
        with self.clock.on("validate"):
            loss = validate(self.model, self.net, self.held, self.train.numbers, self.world)
        self.progress.validation_loss = loss
        if self.books is not None and finite(loss) is not None:
            spent_s = self.clock.read().validate - begin_s
            self.books.journal.add(
                [Validation(step=step, loss=loss, tokens=self.held.part.tokens, seconds=spent_s)]
            )

    def save(self, step: int) -> None:
        """Take a checkpoint; only copying the weights holds up the run."""
        is_best = self.progress.judge(step)
        since, self.progress.since = self.progress.since, Since()
        if self.books is None:
            return
        begin_s = self.clock.read().checkpoint
        with self.clock.on("checkpoint"):
            self.books.keeper.wait()
            snapshot = Snapshot(
                name=checkpoint_name(self.books.keeper.folder, self.now(), step),
                model=take_model(self.model),
                optimizer=take_optimizer(self.model, self.changer.optimizer),
                meta=self._meta(step, since, is_best=is_best),
            )
            self.books.keeper.save(snapshot)
        self._saved_at_s = self.before.plus(self.clock.read()).total
        self.books.journal.add([
            Checkpoint(
                step=step, name=snapshot.name, is_best=is_best, loss=since.loss,
                loss_min=min(since.lows, default=None), loss_max=max(since.highs, default=None),
                seconds=self.clock.read().checkpoint - begin_s,
            )
        ])  # fmt: skip
        self.books.saved()

    def fail(self) -> None:
        """Raise what the first process has met."""
        if self.books is not None:
            self.books.keeper.wait()
        raise RankLost("the first process can not go on; what it says stands above")

    def _meta(self, step: int, since: Since, *, is_best: bool) -> Meta:
        clock = self.before.plus(self.clock.read())
        norms, mixing = since.norms, self.plan.part.mixing
        return Meta(
            global_step=step,
            is_best=is_best,
            avg_train_loss=since.loss,
            min_train_loss=min(since.lows, default=None),
            max_train_loss=max(since.highs, default=None),
            val_loss=None if (loss := self.progress.validation_loss) is None else finite(loss),
            lr=learning_rate(step - 1, self.plan.steps, self.train),
            avg_grad_norm=sum(norms) / len(norms) if norms else None,
            max_grad_norm=max(norms, default=None),
            frac_clipped=since.clipped / max(len(since.losses), 1),
            tokens_seen=self.plan.tokens_after(step - 1),
            next_token=self.plan.next_token(step - 1),
            steps=self.plan.steps,
            tokens_per_step=self.plan.part.tokens_per_step,
            best_loss=self.progress.best_loss,
            best_step=self.progress.best_step,
            model=msgspec.structs.asdict(self.model.settings),
            train=msgspec.structs.asdict(self.train),
            clock_s=clock,
            mixed_sequences=mixing.count if mixing is not None else None,
            scaler=self.changer.state(),
            cost_usd_micros=self.cost_usd_micros(clock),
        )
