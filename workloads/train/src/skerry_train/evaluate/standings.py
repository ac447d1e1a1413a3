"""What a judging came to: each model's mean and how far to trust it, as a table and as a record.

It does not know the judge. Pure arithmetic and text.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from skerry_train.errors import NotReachable
from skerry_train.evaluate.judging import Contest
from skerry_train.evaluate.verdicts import Failed, Judgement, Verdict


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A model's place. mean: over items and repeats.

    spread: the standard deviation between the means of the repeats, None if there was one only.
    item_spread: the standard deviation between items.
    """

    model: str
    mean: float
    spread: float | None
    item_spread: float | None


class Standings(msgspec.Struct, frozen=True, kw_only=True):
    """All places, the best first. left_out: items without a verdict in some repeat, and why."""

    places: list[Standing]
    items: int
    repeats: int
    left_out: dict[int, str]
    tokens_in: int
    tokens_out: int


def standings(
    contest: Contest, verdicts: Mapping[tuple[int, int], Verdict], repeats: int
) -> Standings:
    """Return the places of all models.

    An item that failed in any repeat counts in none, for none: the means are over the same items.
    Raises NotReachable if no item is left.
    """
    wanted = [
        verdicts[item, again] for item in range(len(contest.items)) for again in range(repeats)
    ]
    left_out = {each.item: each.reason for each in wanted if isinstance(each, Failed)}
    judged = [each for each in wanted if isinstance(each, Judgement) and each.item not in left_out]
    if not judged:
        reason = next(iter(left_out.values()))
        raise NotReachable(f"the judge gave no reply that can be used to any question: {reason}")
    places = [_standing(model, judged, repeats) for model in contest.models]
    paid = [each for each in verdicts.values() if isinstance(each, Judgement)]
    return Standings(
        places=sorted(places, key=lambda place: (-place.mean, place.model)),
        items=len(contest.items) - len(left_out),
        repeats=repeats,
        left_out=left_out,
        tokens_in=sum(each.tokens_in for each in paid),
        tokens_out=sum(each.tokens_out for each in paid),
    )


def table(standings: Standings) -> str:
    """Return the standings as a Markdown table, with a line about what was left out."""
    lines = ["| Model | Score | Spread of repeats | Spread of items |", "|---|---|---|---|"]
    lines += [
        f"| {each.model.replace('|', '/')} | {each.mean:.2f} | {_number(each.spread)} | {_number(each.item_spread)} |"
        for each in standings.places
    ]
    lines += ["", f"{standings.items} items, {standings.repeats} times each."]
    if standings.left_out:
        count = len(standings.left_out)
        lines.append(
            f"{count} of {standings.items + count} items were left out, without a verdict:"
        )
        lines += [f"- item {item}: {reason}" for item, reason in sorted(standings.left_out.items())]
    if standings.tokens_in:
        lines.append(
            f"The judge counted {standings.tokens_in:,} tokens in, {standings.tokens_out:,} out."
        )
    return "\n".join(lines)


def annotated(
    contest: Contest, verdicts: Mapping[tuple[int, int], Verdict], standings: Standings
) -> dict[str, Any]:
    """Return all that was asked and said, item by item, with the standings."""
    items = [
        {
            "instruction": each.instruction,
            "input": each.input,
            "output": each.output,
            "answers": {model: contest.answers[model][place] for model in contest.models},
            "verdicts": [
                msgspec.to_builtins(verdicts[place, again]) for again in range(standings.repeats)
            ],
        }
        for place, each in enumerate(contest.items)
    ]
    return {"standings": msgspec.to_builtins(standings, str_keys=True), "items": items}


def _standing(model: str, judged: Sequence[Judgement], repeats: int) -> Standing:
    means = [
        statistics.fmean(each.scores[model] for each in judged if each.repeat == again)
        for again in range(repeats)
    ]
    of_item: dict[int, list[int]] = {}
    for each in judged:
        of_item.setdefault(each.item, []).append(each.scores[model])
    return Standing(
        model=model,
        mean=statistics.fmean(means),
        spread=_deviation(means),
        item_spread=_deviation([statistics.fmean(scores) for scores in of_item.values()]),
    )


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
