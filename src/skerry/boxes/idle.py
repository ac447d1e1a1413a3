"""When a box sleeps: what keeps it awake, and what its rule says of one that nothing keeps. Pure.

*running* becomes *warm* (frozen, memory kept) and that *cold* (stopped, only the disk). A signal
that cannot be read keeps a box awake: to sleep wrongly loses work, to stay awake costs a little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from skerry.base import Invalid, format_duration

CPU_IDLE_SHARE = 0.02
"""Of one CPU: who uses less over a few seconds only waits."""

WARM_AFTER_RANGE_NS = (1 * 10**9, 30 * 86400 * 10**9)
HOLD_NAME_MAX = 64

Step: TypeAlias = Literal["stay", "freeze", "stop"]

_USES = {
    "session": ("a session is attached", "sessions are attached"),
    "request": ("an HTTP request or WebSocket is open", "HTTP requests and WebSockets are open"),
    "service": ("a service is being started", "services are being started"),
    "proxy": ("a forwarded connection is open", "forwarded connections are open"),
    "ssh": ("an SSH connection is open", "SSH connections are open"),
}


@dataclass(frozen=True, slots=True)
class SleepRule:
    """After how long without a sign of life a box gets warm, and after how long more cold.

    In nanoseconds; None is never. With warm_after None a box never gets cold by itself either.
    """

    warm_after_ns: int | None
    cold_after_ns: int | None


@dataclass(frozen=True, slots=True)
class PartialSleepRule:
    """A rule of which parts may be left to the settings, which None says; 0 is never."""

    warm_after_ns: int | None = None
    cold_after_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A lease that keeps a box awake until it ends: by the wall clock, in nanoseconds."""

    box_id: str
    name: str
    created_at_ns: int
    expires_at_ns: int


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of one box now.

    idle_ns: since its last sign of life, which last_sign names. asleep_ns: since it was frozen,
    None while it is awake. uses: how many of each kind are open. unread: signals that could not be
    read.
    """

    idle_ns: int
    last_sign: str
    asleep_ns: int | None = None
    uses: Mapping[str, int] | None = None
    holds: Sequence[Hold] = ()
    unread: Sequence[str] = ()


def settle_rule(asked: PartialSleepRule, otherwise: SleepRule) -> SleepRule:
    """Return the rule that holds for a box: its own where it has one."""

    def pick(own_ns: int | None, other_ns: int | None) -> int | None:
        return other_ns if own_ns is None else (own_ns or None)

    return SleepRule(
        pick(asked.warm_after_ns, otherwise.warm_after_ns),
        pick(asked.cold_after_ns, otherwise.cold_after_ns),
    )


def change_rule(asked: PartialSleepRule, otherwise: PartialSleepRule) -> PartialSleepRule:
    """Return otherwise with what asked says in place of its own. Raises Invalid(bad_sleep)."""
    for time_ns in (asked.warm_after_ns, asked.cold_after_ns):
        low, high = WARM_AFTER_RANGE_NS
        if time_ns and not low <= time_ns <= high:
            raise Invalid(
                "bad_sleep",
                f"A box sleeps after {format_duration(low)} to {format_duration(high)}, or never.",
            )
    warm, cold = asked.warm_after_ns, asked.cold_after_ns
    return PartialSleepRule(
        otherwise.warm_after_ns if warm is None else warm,
        otherwise.cold_after_ns if cold is None else cold,
    )


def reasons(signals: Signals, rule: SleepRule) -> list[str]:
    """Return why a box is awake, or would be if it were asleep; none: only time keeps it so."""
    said = [
        _USES[kind][0] if count == 1 else f"{count} {_USES[kind][1]}"
        for kind, count in sorted((signals.uses or {}).items())
        if count > 0
    ]
    said += [f"it is held by {hold.name!r}" for hold in signals.holds]
    said += [f"{signal} cannot be read" for signal in signals.unread]
    if rule.warm_after_ns is None:
        said.append("it is set never to sleep")
    return said


def next_step(signals: Signals, rule: SleepRule) -> Step:
    """Return what is to be done with a box now."""
    if signals.asleep_ns is not None:
        due = rule.cold_after_ns is not None and signals.asleep_ns >= rule.cold_after_ns
        return "stop" if due else "stay"
    if rule.warm_after_ns is None or reasons(signals, rule):
        return "stay"
    return "freeze" if signals.idle_ns >= rule.warm_after_ns else "stay"


def next_change_ns(signals: Signals, rule: SleepRule) -> int | None:
    """Return in how many nanoseconds a box goes to sleep, or from warm to cold; None: not yet."""
    if signals.asleep_ns is not None:
        after_ns, since_ns = rule.cold_after_ns, signals.asleep_ns
    elif reasons(signals, rule):
        return None
    else:
        after_ns, since_ns = rule.warm_after_ns, signals.idle_ns
    return None if after_ns is None else max(0, after_ns - since_ns)
