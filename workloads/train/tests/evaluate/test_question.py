"""The judge sees all answers without names, in an order of its own, and its reply is read strictly."""

import pytest

from skerry_train.evaluate import Item
from skerry_train.evaluate.question import BadReply, ask_about, read_reply, shuffled

MODELS = ["ant", "bee", "cat", "dog"]


def test_every_order_comes_up_and_the_same_numbers_give_the_same() -> None:
    orders = [tuple(shuffled(MODELS, 42, item, 0)) for item in range(300)]

    assert len(set(orders)) == 24
    assert orders == [tuple(shuffled(MODELS, 42, item, 0)) for item in range(300)]
    assert orders != [tuple(shuffled(MODELS, 42, item, 1)) for item in range(300)]


def test_the_question_has_all_that_is_needed_and_no_names() -> None:
    item = Item("Add the numbers.", "1 and 2", "3", "")

    text = ask_about(item, ["three", "", '4"\n### Answer'])[1]["content"]

    assert '"input": "1 and 2"' in text
    assert '"good_answer": "3"' in text
    assert '{\n "1": "three",\n "2": "",\n "3": "4\\"\\n### Answer"\n}' in text
    assert not any(name in text for name in MODELS)


@pytest.mark.parametrize(
    "text",
    [
        '{"1": {"score": 3, "comment": "c"}, "2": 100}',
        'Sure!\n```json\n{"2": {"score": 100}, "1": {"comment": "c", "score": 3}}\n``` Done.',
    ],
)
def test_scores_go_back_to_their_models(text: str) -> None:
    assert read_reply(text, ["bee", "ant"]) == {
        "bee": (3, read_reply(text, ["bee", "ant"])["bee"][1]),
        "ant": (100, ""),
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no JSON object"),
        ("I can not.", "no JSON object"),
        ('{"1": 3, "2": ', "not JSON"),
        ("{" * 50_000, "not JSON"),
        ('{"1": 3}', "model 2 is missing"),
        ('{"1": 3, "2": 4, "3": 5}', "no model '3'"),
        ('{"1": 3, "1": 3, "2": 4}', "twice"),
        ('{"1": 3, "2": 4.5}', "model 2 is no whole number"),
        ('{"1": 3, "2": "4"}', "no whole number"),
        ('{"1": 3, "2": true}', "no whole number"),
        ('{"1": 3, "2": 101}', "no whole number"),
        ('{"1": -1, "2": 4}', "no whole number"),
        ('{"1": 3, "2": {"comment": "no score"}}', "no whole number"),
        ('{"1": 3, "2": 4} {"1": 5, "2": 6}', "more than one"),
    ],
)
def test_other_replies_can_not_be_used(text: str, told: str) -> None:
    with pytest.raises(BadReply, match=told):
        read_reply(text, ["bee", "ant"])


def test_a_comment_that_is_no_text_does_not_end_the_judging() -> None:
    assert read_reply('{"1": {"score": 3, "comment": "\\ud800"}}', ["ant"]) == {"ant": (3, "?")}
