"""A judging asks every question once, keeps what was answered, and ends in a mean that can be trusted."""

import json
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from skerry_train.errors import BadData, BadSettings, NotReachable
from skerry_train.evaluate import (
    Answers,
    Contest,
    Failed,
    Item,
    Manner,
    Service,
    Standings,
    annotated,
    contest,
    converse,
    judge,
    open_verdicts,
    standings,
    table,
)
from tests.evaluate.judge_server import Answer, exercise, fair, judge_server, said, shown

COUNT = 12


def answers(model: str, worth: Callable[[int], int], exercises: int = COUNT) -> Answers:
    items = [Item(f"Do {i}.", "", "done", f"worth {worth(i)}") for i in range(exercises)]
    return Answers(
        model=model, checkpoint="best", data="d", data_sha256="0", seed=42, epochs=2, trained=[],
        plan={}, items=items,
    )  # fmt: skip


THREE = contest(
    [answers("good", lambda i: 80 + i), answers("poor", lambda _: 10), answers("odd", lambda i: i)]
)


def run(
    folder: Path, url: str, which: Contest = THREE, ending: Event | None = None, **manner: Any
) -> Standings:
    """Judge once, as the command does, and return what it came to."""
    how, stop = Manner(**manner), ending or Event()
    service = Service(url=url, model="judge", tries=2)
    with open_verdicts(folder / "verdicts.jsonl", which.digest("judge", how.seed, {})) as file:
        judge(which, lambda messages: converse(service, messages, lambda _: False), file, how, stop)
        return standings(which, file.verdicts, how.repeats)


def test_scores_are_those_of_the_models_though_the_order_changes(tmp_path: Path) -> None:
    with judge_server(lambda request, _: fair(request)) as server:
        came = run(tmp_path, server.url, repeats=2)

    assert [(each.model, each.mean, each.spread) for each in came.places] == [
        ("good", 85.5, 0), ("poor", 10, 0), ("odd", 5.5, 0)]  # fmt: skip
    firsts = {shown(request)[0] == "worth 10" for request in server.asked}
    assert firsts == {True, False}
    assert len(server.asked) == 2 * COUNT
    assert (came.tokens_in, came.items, came.left_out) == (2 * COUNT * 100, COUNT, {})


def test_no_more_questions_are_open_at_once_than_allowed(tmp_path: Path) -> None:
    with judge_server(lambda request, _: fair(request)) as server:
        run(tmp_path, server.url, at_once=2)

    assert server.at_once_max <= 2


def test_a_bad_reply_is_asked_again_with_what_was_wrong(tmp_path: Path) -> None:
    def decide(request: dict[str, Any], _: int) -> Answer:
        return fair(request) if len(request["messages"]) > 2 else said('{"1": 50}')

    with judge_server(decide) as server:
        came = run(tmp_path, server.url)

    assert came.places[0].mean == 85.5
    again = [request["messages"] for request in server.asked if len(request["messages"]) > 2]
    assert len(again) == COUNT
    assert [each["role"] for each in again[0]] == ["system", "user", "assistant", "user"]
    assert "model 2 is missing" in again[0][3]["content"]


def test_an_item_without_a_verdict_is_left_out_for_all_and_told(tmp_path: Path) -> None:
    def decide(request: dict[str, Any], _: int) -> Answer:
        return {"Do 3.": said("never"), "Do 5.": (400, b"policy")}.get(
            exercise(request), fair(request)
        )

    with judge_server(decide) as server:
        came = run(tmp_path, server.url, asks_max=3)

    kept = [i for i in range(COUNT) if i not in (3, 5)]
    assert came.places[2].mean == sum(kept) / len(kept)
    assert (came.items, sorted(came.left_out)) == (COUNT - 2, [3, 5])
    assert "2 of 12 items were left out" in table(came)
    assert "3 replies, the last: it has no JSON object" in table(came)
    assert sum(exercise(request) == "Do 3." for request in server.asked) == 3


def test_an_item_that_failed_in_one_repeat_counts_in_none(tmp_path: Path) -> None:
    def decide(request: dict[str, Any], count: int) -> Answer:
        fails = exercise(request) == "Do 11." and count >= COUNT
        return said("never") if fails else fair(request)

    with judge_server(decide) as server:
        came = run(tmp_path, server.url, repeats=2, at_once=1)

    assert came.items == COUNT - 1
    assert came.places[2].mean == sum(range(11)) / 11


def test_a_judge_that_never_makes_sense_is_told(tmp_path: Path) -> None:
    with (
        judge_server(lambda *_: said("never")) as server,
        pytest.raises(NotReachable, match="any question"),
    ):
        run(tmp_path, server.url)


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_a_judging_goes_on_where_it_was_cut_off(tmp_path: Path, cut: int) -> None:
    def decide(request: dict[str, Any], count: int) -> Answer:
        return fair(request) if count < 5 else (401, b"")

    with judge_server(decide) as server, pytest.raises(NotReachable, match="401"):
        run(tmp_path, server.url, at_once=1)
    kept = tmp_path / "verdicts.jsonl"
    kept.write_bytes(kept.read_bytes()[: -cut or None])  # as a kill in a write would leave it

    with judge_server(lambda request, _: fair(request)) as server:
        came = run(tmp_path, server.url)

    assert came.places[0].mean == 85.5
    assert len(server.asked) == COUNT - (5 if cut == 0 else 4)


def test_answers_under_way_are_kept_when_one_ends_the_judging(tmp_path: Path) -> None:
    answered = Event()

    def decide(request: dict[str, Any], count: int) -> Answer:
        if count == 0:
            return 401, b""
        answered.wait(5)  # until the end of the judging has begun
        return fair(request)

    with judge_server(decide) as server, pytest.raises(NotReachable, match="401"):
        run(tmp_path, server.url, at_once=2, ending=answered)

    assert (tmp_path / "verdicts.jsonl").read_bytes().count(b'"judgement"') == 1


def test_failed_items_are_asked_again_by_the_next_judging(tmp_path: Path) -> None:
    with judge_server(lambda request, count: said("no") if count == 0 else fair(request)) as server:
        assert len(run(tmp_path, server.url, asks_max=1).left_out) == 1

    with judge_server(lambda request, _: fair(request)) as server:
        assert run(tmp_path, server.url, asks_max=1).left_out == {}

    assert len(server.asked) == 1


def test_more_repeats_ask_only_what_is_new(tmp_path: Path) -> None:
    with judge_server(lambda request, _: fair(request)) as server:
        run(tmp_path, server.url)
        run(tmp_path, server.url, repeats=3)

    assert len(server.asked) == 3 * COUNT


def test_what_a_kill_left_of_a_line_does_not_follow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    with open_verdicts(path, "x"):
        pass
    path.write_bytes(path.read_bytes() + b"torn" * 1000)

    with open_verdicts(path, "x") as file:
        file.add(Failed(item=3, repeat=0, reason="none"))

    with open_verdicts(path, "x") as file:
        assert list(file.verdicts) == [(3, 0)]


def test_verdicts_of_another_judging_are_refused(tmp_path: Path) -> None:
    with judge_server(lambda request, _: fair(request)) as server:
        run(tmp_path, server.url)
        with pytest.raises(BadSettings, match="another --out"):
            run(tmp_path, server.url, seed=7)


def test_damaged_verdicts_are_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "verdicts.jsonl").write_bytes(b'{"kind":"judging","digest":"x"}\n{"kind":1}\n')

    with pytest.raises(BadData, match="line 2"), open_verdicts(tmp_path / "verdicts.jsonl", "x"):
        pass


def test_a_file_of_verdicts_has_one_judging_at_a_time(tmp_path: Path) -> None:
    with (
        open_verdicts(tmp_path / "verdicts.jsonl", "x"),
        pytest.raises(BadSettings, match="in use"),
        open_verdicts(tmp_path / "verdicts.jsonl", "x"),
    ):
        pass


def test_the_spread_is_between_the_means_of_repeats(tmp_path: Path) -> None:
    def decide(request: dict[str, Any], count: int) -> Answer:
        score = 40 if count < 10 else 60
        return said(json.dumps({"1": score}))

    with judge_server(decide) as server:
        which = contest([answers("only", lambda _: 0, exercises=10)])
        place = run(tmp_path, server.url, which, repeats=2, at_once=1).places[0]

    assert (place.mean, place.item_spread) == (50, 0)
    assert place.spread == pytest.approx(14.1421356)


def test_the_annotated_results_hold_all_that_was_said(tmp_path: Path) -> None:
    with judge_server(lambda request, _: fair(request)) as server:
        came = run(tmp_path, server.url)
    with open_verdicts(tmp_path / "verdicts.jsonl", THREE.digest("judge", 42, {})) as file:
        document = json.loads(json.dumps(annotated(THREE, file.verdicts, came)))

    item = document["items"][4]
    assert item["answers"] == {"good": "worth 84", "odd": "worth 4", "poor": "worth 10"}
    assert item["verdicts"][0]["scores"] == {"good": 84, "odd": 4, "poor": 10}
    assert item["verdicts"][0]["comments"]["odd"] == "worth 4"


def test_models_that_can_not_be_compared_are_told() -> None:
    with pytest.raises(BadData, match="another --name"):
        contest([answers("a", lambda _: 1), answers("a", lambda _: 2)])
    with pytest.raises(BadData, match="different exercises"):
        contest([answers("a", lambda _: 1), answers("b", lambda _: 2, exercises=3)])
    with pytest.raises(BadData, match="empty"):
        contest([answers("a", lambda _: 1, exercises=0)])
