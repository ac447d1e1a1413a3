"""When rules end what: each kind of rule by itself, and all of them against a plain reading."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.objects.model import Lock, Version
from skerry.objects.rules import Rule, plan, seen, soonest_ns

S = 10**9


def version(at_s: int, *, key: str = "k", size: int = 10, is_marker: bool = False,
            tags: dict[str, str] | None = None, lock: Lock | None = None) -> Version:  # fmt: skip
    return Version(
        bucket=1, key=key, version_id=f"v{at_s}", sequence=at_s, modified_at_ns=at_s * S, size=size,
        is_marker=is_marker, tags=tags or {}, lock=lock,
    )  # fmt: skip


def check(
    versions: list[Version], rule: Rule, now_s: int, ended: list[str], next_s: int | None
) -> None:
    planned = plan(seen(versions), [rule], now_s * S)
    assert [each.version.version_id for each in planned.ended] == ended
    assert planned.next_ns == (None if next_s is None else next_s * S)


ONE = [version(100)]
THREE = [version(300), version(200), version(100)]
HIDDEN = [version(300, is_marker=True), version(200)]
LONE = [version(300, is_marker=True)]


@pytest.mark.parametrize(
    ("versions", "what", "now_s", "ended", "next_s"),
    [
        (ONE, {"expires_after_s": 50}, 149, [], 150),
        (ONE, {"expires_after_s": 50}, 150, ["v100"], None),
        (ONE, {"expires_at_ns": 120 * S}, 119, [], 120),
        (ONE, {"expires_at_ns": 50 * S}, 100, ["v100"], None),
        (ONE, {"expires_after_s": 50, "prefix": "x"}, 999, [], None),
        (ONE, {"expires_after_s": 50, "size_above_bytes": 10}, 999, [], None),
        (ONE, {"expires_after_s": 50, "size_below_bytes": 11}, 999, ["v100"], None),
        (ONE, {"expires_after_s": 50, "tags": {"a": "b"}}, 999, [], None),
        ([version(100, tags={"a": "b", "c": ""})], {"expires_after_s": 50, "tags": {"a": "b"}}, 999,
         ["v100"], None),
        (ONE, {"former_after_s": 0}, 999, [], None),
        (THREE, {"former_after_s": 50}, 250, ["v100"], 350),
        (THREE, {"former_after_s": 50}, 350, ["v200", "v100"], None),
        (THREE, {"former_after_s": 0, "former_kept": 1}, 300, ["v100"], None),
        (THREE, {"former_after_s": 0, "former_kept": 2}, 999, [], None),
        (HIDDEN, {"drops_markers": True}, 999, [], None),
        (LONE, {"drops_markers": True}, 300, ["v300"], None),
        (HIDDEN, {"expires_after_s": 50}, 999, [], None),
        (LONE, {"expires_after_s": 50}, 349, [], 350),
        (LONE, {"expires_after_s": 50, "tags": {"a": "b"}}, 999, [], None),
        ([version(300), version(200, lock=Lock("COMPLIANCE", 500 * S))], {"former_after_s": 0}, 499,
         [], 500),
        ([version(300), version(200, lock=Lock(is_held=True))], {"former_after_s": 0}, 999, [], None),
    ],
)  # fmt: skip
def test_what_a_rule_ends_and_when_to_look_again(
    versions: list[Version], what: dict[str, object], now_s: int, ended: list[str], next_s: int | None
) -> None:  # fmt: skip
    check(versions, msgspec.convert({"rule_id": "r", **what}, Rule), now_s, ended, next_s)


spans = st.none() | st.integers(0, 30)
rules_drawn = st.builds(
    Rule, rule_id=st.just("r"), expires_after_s=spans, former_after_s=spans,
    former_kept=st.integers(0, 2), drops_markers=st.booleans(),
)  # fmt: skip


@given(
    st.lists(rules_drawn, min_size=1, max_size=3), st.lists(st.booleans(), min_size=1, max_size=5)
)
def test_a_write_has_its_key_looked_at_before_anything_of_it_ends(
    rules: list[Rule], markers: list[bool]
) -> None:
    """The index may be early, never late: what was there before was looked at when it was written."""
    versions = [version(10 * n + 10, is_marker=is_marker) for n, is_marker in enumerate(markers)]
    looked: list[int] = []
    for count, newest in enumerate(versions, 1):
        soonest = soonest_ns(newest, rules)
        looked += [] if soonest is None else [soonest]
        planned = plan(seen(versions[:count][::-1]), rules, newest.modified_at_ns)
        if planned.ended:
            assert min(looked) <= newest.modified_at_ns
        if planned.next_ns is not None:
            assert min(looked) <= planned.next_ns
