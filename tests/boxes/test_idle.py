"""When a box sleeps: the rule, from the signals alone."""

from dataclasses import replace

import pytest

from skerry.base import Invalid
from skerry.boxes.idle import (
    Hold,
    PartialSleepRule,
    Signals,
    SleepRule,
    change_rule,
    next_change_ns,
    next_step,
    reasons,
    settle_rule,
)

SECOND_NS = 10**9
RULE = SleepRule(30 * SECOND_NS, 600 * SECOND_NS)
IDLE = Signals(idle_ns=30 * SECOND_NS, last_sign="it was made")
HELD = Hold("box_a", "agent", 0, 1)


def test_an_idle_box_is_frozen_and_then_stopped() -> None:
    warm = replace(IDLE, asleep_ns=600 * SECOND_NS)

    assert next_step(replace(IDLE, idle_ns=30 * SECOND_NS - 1), RULE) == "stay"
    assert next_step(IDLE, RULE) == "freeze"
    assert next_step(replace(warm, asleep_ns=600 * SECOND_NS - 1), RULE) == "stay"
    assert next_step(warm, RULE) == "stop"


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (replace(IDLE, uses={"session": 1}), "a session is attached"),
        (replace(IDLE, uses={"session": 2}), "2 sessions are attached"),
        (replace(IDLE, uses={"request": 1}), "an HTTP request or WebSocket is open"),
        (replace(IDLE, holds=(HELD,)), "it is held by 'agent'"),
        (replace(IDLE, unread=("its CPU use",)), "its CPU use cannot be read"),
    ],
)
def test_what_needs_a_box_keeps_it_awake_and_is_told(kept: Signals, said: str) -> None:
    assert next_step(kept, RULE) == "stay"
    assert reasons(kept, RULE) == [said]
    assert next_change_ns(kept, RULE) is None


def test_a_use_that_ended_keeps_nobody_awake() -> None:
    assert reasons(replace(IDLE, uses={"session": 0}), RULE) == []


def test_never_is_never() -> None:
    forever = SleepRule(None, 600 * SECOND_NS)
    warm = replace(IDLE, asleep_ns=10**18)

    assert next_step(replace(IDLE, idle_ns=10**18), forever) == "stay"
    assert reasons(IDLE, forever) == ["it is set never to sleep"]
    assert next_step(warm, SleepRule(SECOND_NS, None)) == "stay"
    assert next_change_ns(warm, SleepRule(SECOND_NS, None)) is None


def test_when_it_changes_is_told() -> None:
    assert next_change_ns(replace(IDLE, idle_ns=10 * SECOND_NS), RULE) == 20 * SECOND_NS
    assert next_change_ns(replace(IDLE, asleep_ns=700 * SECOND_NS), RULE) == 0


def test_a_box_follows_the_settings_where_it_has_no_rule_of_its_own() -> None:
    assert settle_rule(PartialSleepRule(), RULE) == RULE
    assert settle_rule(PartialSleepRule(0, 5), RULE) == SleepRule(None, 5)


def test_a_rule_is_changed_in_part_and_within_its_range() -> None:
    own = PartialSleepRule(2 * SECOND_NS, 0)

    assert change_rule(PartialSleepRule(None, 3 * SECOND_NS), own) == PartialSleepRule(
        2 * SECOND_NS, 3 * SECOND_NS
    )
    for time_ns in (1, 10**18, -5):
        with pytest.raises(Invalid):
            change_rule(PartialSleepRule(time_ns), own)
