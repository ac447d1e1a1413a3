"""One session of a run: everything is opened, gone on with from a checkpoint, trained, closed.

It does not know how a step is made, nor what is done with what it comes to.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from skerry_train.data import Feeder, Share, open_split
from skerry_train.errors import Diverged
from skerry_train.model import parameters, peak_flops
from skerry_train.record import Clock, End, Journal, Session, Step, Summary, write_summary
from skerry_train.run import resume
from skerry_train.run.checkpoints import Keeper
from skerry_train.run.clock import SplitClock
from skerry_train.run.computing import computing, make_model, make_nets
from skerry_train.run.course import Books, Course
from skerry_train.run.folder import RunFolder, open_run, utc_now
from skerry_train.run.loop import Loop, Reason
from skerry_train.run.measures import Measures, interval_steps
from skerry_train.run.optimizer import Changer, make_optimizer
from skerry_train.run.planning import make_plan, make_share, make_validation
from skerry_train.run.totals import device_name, summarize
from skerry_train.run.validation import Held
from skerry_train.settings import ModelSettings, TrainSettings, read_model, read_train
from skerry_train.world import StopRequest, World, told_apart


@dataclass(frozen=True)
class Wanted:
    """What a user wants of a session. `resume`: see `resume.choose`."""

    run: Path
    data: Path
    """The folder of the data set."""
    resume: str | None = None
    price_usd_micros_per_hour: int | None = None


class Listener(Protocol):
    """Who is told of a session as it goes; only the first process tells anything."""

    def say(self, text: str) -> None:
        """Print a line for the user."""
        ...

    def show(self, step: Step) -> None:
        """Take in a step that was done."""
        ...

    def saved(self) -> None:
        """Take in that a checkpoint was taken."""
        ...


class Quiet:
    """Listens and does nothing, but for what it is told to say."""

    def say(self, text: str) -> None:
        """Print it."""
        sys.stdout.write(f"{text}\n")

    def show(self, step: Step) -> None:
        """Do nothing."""

    def saved(self) -> None:
        """Do nothing."""


def train(wanted: Wanted, world: World, stop: StopRequest, listener: Listener) -> Summary | None:
    """Train a run to its end, or until it is stopped, and return what it came to.

    Returns None in all processes but the first. Raises a TrainerError for all
    that a user or a machine can cause; the last checkpoint holds then.
    """
    clock = SplitClock(time.perf_counter)
    folder = open_run(wanted.run)
    settings = read_train(wanted.run)
    with told_apart(), computing(settings, world.device):
        course, loop, feeder = _set_up(
            wanted, read_model(wanted.run), settings, world, clock, stop, listener.say
        )
        if not world.is_first:
            _trained(course, loop, feeder)
            return None
        with contextlib.closing(Journal(folder.path)) as journal:
            keeper = Keeper(folder.checkpoints, settings.keep_checkpoints)
            course.books = Books(journal, keeper, listener.show, listener.saved)
            journal.add([_beginning(course)])
            return _kept(course, loop, feeder, folder)


def _kept(course: Course, loop: Loop, feeder: Feeder, folder: RunFolder) -> Summary:
    """Train in the first process, and write down how it ended, however that is."""
    assert course.books is not None
    reason, step = "failed", course.plan.first_step
    try:
        reason = _trained(course, loop, feeder)
        with course.clock.on("checkpoint"):
            course.books.keeper.wait()
    except Diverged:
        reason = "diverged"
        raise
    finally:
        step = course.last_step
        clock = course.clock.read()
        course.books.journal.add([End(step=step, reason=reason, clock_s=clock)])
        summary = summarize(course, folder.name, reason)
        write_summary(folder.path, summary)
    return summary


def _trained(course: Course, loop: Loop, feeder: Feeder) -> Reason:
    """Do what is left."""
    if course.held is not None and not course.plan.first_step:
        course.validate(0)
    with feeder:
        return loop.run(feeder)


def _set_up(
    wanted: Wanted,
    model: ModelSettings,
    settings: TrainSettings,
    world: World,
    clock: SplitClock,
    stop: StopRequest,
    say: Callable[[str], None],
) -> tuple[Course, Loop, Feeder]:
    """Open everything, in the state that the checkpoint has."""
    folder = open_run(wanted.run)
    share = make_share(model, settings, world.rank, world.size)
    saved = resume.choose(folder.checkpoints, wanted.resume, say) if world.is_first else None
    meta = resume.share_meta(saved, world)
    resume.check_model(meta, model)
    tokens = open_split(wanted.data, "train").tokens
    plan = make_plan(len(tokens), settings, share, resume.done_before(meta))
    made = make_model(model, settings, world.device)
    resume.restore_model(made, saved)
    net, shared = make_nets(made, settings, world)
    changer = Changer(make_optimizer(made, settings, world.device), settings, world.device)
    if meta is not None:
        resume.restore_optimizer(made, changer, meta, saved, world)
        if world.is_first:
            say(f"going on from step {meta.global_step:,} of {plan.steps:,}")
    peak = (
        peak_flops(torch.cuda.get_device_name(world.device))
        if world.device.type == "cuda"
        else None
    )
    course = Course(
        made, net, changer, settings, plan, world, clock, stop,
        held=_held(wanted.data, settings, share),
        books=None,
        now=utc_now,
        before=meta.clock_s if meta is not None else Clock(),
        progress=resume.progress_before(meta),
        peak=peak * world.size if peak is not None else None,
        price_usd_micros_per_hour=wanted.price_usd_micros_per_hour,
    )  # fmt: skip
    interval = interval_steps(settings, world.device)
    loop = Loop(
        shared, changer, settings, plan, world, clock, course,
        Measures(world, share.accumulation, interval), has_dropout=model.drop_rate > 0,
    )  # fmt: skip
    made.train()
    return course, loop, Feeder(tokens, plan.part, share, world.device, model.vocab_size)


def _held(data: Path, settings: TrainSettings, share: Share) -> Held | None:
    """Return what is validated on, if anything is."""
    if settings.validation_batches is None:
        return None
    tokens = open_split(data, "validation").tokens
    part = make_validation(len(tokens), settings, share)
    assert part is not None
    return Held(tokens, part, share)


def _beginning(course: Course) -> Session:
    """Return what is written down of a session at its beginning."""
    share = course.plan.share
    return Session(
        at=f"{course.now():%Y-%m-%dT%H:%M:%SZ}",
        step=course.plan.first_step,
        steps=course.plan.steps,
        world_size=course.world.size,
        device=device_name(course.world.device),
        parameters=parameters(course.model.settings),
        global_batch=share.world_size * share.accumulation * share.microbatch,
        microbatch=share.microbatch,
        tokens_per_step=course.plan.part.tokens_per_step,
        machine=course.train.machine,
    )
