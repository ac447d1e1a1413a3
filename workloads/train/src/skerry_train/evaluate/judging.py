"""A judging: every exercise put to the judge as often as wanted, several at a time, and kept as it goes.

It does not know how the judge is reached, nor what comes of the scores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from threading import Event
from typing import Any

from skerry_train.errors import BadData, BadSettings
from skerry_train.evaluate.answers import Answers, Item
from skerry_train.evaluate.question import (
    VERSION,
    BadReply,
    Message,
    ask_about,
    ask_again,
    read_reply,
    shuffled,
)
from skerry_train.evaluate.service import Refused, Reply
from skerry_train.evaluate.verdicts import Failed, Judgement, Verdict, VerdictFile

Ask = Callable[[list[Message]], Reply]


@dataclass(frozen=True)
class Contest:
    """The exercises, and each model's answers to them in their order."""

    items: list[Item]
    answers: dict[str, list[str]]

    @property
    def models(self) -> list[str]:
        """Return the models, sorted by name: the order before any is shuffled."""
        return sorted(self.answers)

    def digest(self, judge: str, seed: int, extra: Mapping[str, Any]) -> str:
        """Return a hash of what has to be the same for verdicts to go together.

        judge, extra: the judge's name, and what else each request says.
        """
        rows = [[item.instruction, item.input, item.output] for item in self.items]
        answers = sorted(self.answers.items())
        text = json.dumps([VERSION, judge, dict(extra), seed, rows, answers], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How to judge. asks_max: how often one question is put before it counts as failed."""

    repeats: int = 1
    seed: int = 42
    asks_max: int = 4
    at_once: int = 4

    def __post_init__(self) -> None:
        if min(self.repeats, self.asks_max) < 1 or not 1 <= self.at_once <= 64:
            raise BadSettings(
                "repeats and tries have to be 1 or more, and questions at once 1 to 64"
            )


def contest(files: Sequence[Answers]) -> Contest:
    """Return the contest of several models. Raises BadData unless all answered the same exercises."""
    first = files[0]
    answers: dict[str, list[str]] = {}
    for each in files:
        if each.model in answers:
            raise BadData(
                f"two answer files are of a model {each.model!r}; give one of them another --name"
            )
        if _exercises(each) != _exercises(first):
            raise BadData(
                f"{each.model} and {first.model} answered different exercises; use one data file"
            )
        answers[each.model] = [item.answer for item in each.items]
    if not first.items:
        raise BadData(f"the answers of {first.model} are empty; make them again")
    return Contest(first.items, answers)


def judge(
    contest: Contest,
    ask: Ask,
    verdicts: VerdictFile,
    manner: Manner,
    stop: Event,
    tell: Callable[[Verdict], object] = lambda _: None,
) -> None:
    """Put every open question to the judge; afterwards the file has a verdict on each.

    ask: may raise Refused for one question, or what ends the judging. stop: set as soon as it ends
    that way, for waits inside `ask` to be given up; what was answered by then is kept.
    """
    questions = (
        (item, repeat)
        for repeat in range(manner.repeats)
        for item in range(len(contest.items))
        if verdicts.is_open(item, repeat)
    )
    questions = iter(open_questions(contest, verdicts, manner))
    with ThreadPoolExecutor(manner.at_once) as pool:
        try:
            for verdict in _answered(pool, questions, contest, ask, manner, stop):
                verdicts.add(verdict)
                tell(verdict)
        finally:
            stop.set()


def open_questions(
    contest: Contest, verdicts: VerdictFile, manner: Manner
) -> list[tuple[int, int]]:
    """Return item and repeat of every question that is still to be put."""
    return [
        (item, repeat)
        for repeat in range(manner.repeats)
        for item in range(len(contest.items))
        if verdicts.is_open(item, repeat)
    ]


def _answered(
    pool: ThreadPoolExecutor,
    questions: Iterator[tuple[int, int]],
    contest: Contest,
    ask: Ask,
    manner: Manner,
    stop: Event,
) -> Iterator[Verdict]:
    """Yield verdicts as they come in. What ends it is raised after those that were still under way."""
    running: set[Future[Verdict]] = set()
    failure: BaseException | None = None
    while True:
        free = 0 if failure else manner.at_once - len(running)
        for item, repeat in islice(questions, free):
            running.add(pool.submit(_put, contest, ask, manner, item, repeat))
        if not running:
            break
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for each in done:
            error = each.exception()
            if error is None:
                yield each.result()
            else:
                failure = failure or error
                stop.set()
    if failure:
        raise failure


def _put(contest: Contest, ask: Ask, manner: Manner, item: int, repeat: int) -> Verdict:
    """Put one question until its reply can be used, or often enough."""
    order = shuffled(contest.models, manner.seed, item, repeat)
    messages = ask_about(contest.items[item], [contest.answers[model][item] for model in order])
    reason, tokens = "", [0, 0]
    for asked in range(1, manner.asks_max + 1):
        try:
            reply = ask(messages)
        except Refused as refused:
            return Failed(item=item, repeat=repeat, reason=f"the judge refuses it: {refused}")
        tokens = [tokens[0] + reply.tokens_in, tokens[1] + reply.tokens_out]
        try:
            verdicts = read_reply(reply.text, order)
        except BadReply as wrong:
            reason, messages = str(wrong), ask_again(messages, reply.text, wrong)
            continue
        scores = {model: score for model, (score, _) in verdicts.items()}
        return Judgement(
            item=item,
            repeat=repeat,
            order=order,
            scores=scores,
            comments={model: comment for model, (_, comment) in verdicts.items()},
            asked=asked,
            tokens_in=tokens[0],
            tokens_out=tokens[1],
        )
    return Failed(item=item, repeat=repeat, reason=f"{manner.asks_max} replies, the last: {reason}")


def _exercises(answers: Answers) -> list[tuple[str, str, str]]:
    return [(each.instruction, each.input, each.output) for each in answers.items]
