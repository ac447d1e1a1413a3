"""What a service is, what starts before it, and when one that ended is started again. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from skerry.base import Conflict, Invalid

SERVICES_MAX = 64
_NAME = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?", re.IGNORECASE)
_PORT_LAST = 65_535
_WORDS_MAX = 10_000

# An end is followed by a start after this, and twice as long each time, up to the longest; who ran
# for as long as that begins anew.
_DELAY_FIRST_NS = 10**9
_DELAY_LONGEST_NS = 60 * 10**9

Status: TypeAlias = Literal["stopped", "starting", "running", "stopping", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """What is asked for. argv: the command, through no shell. needs: services that start before.

    http_port: where it answers HTTP. ready_path: a path that must answer below 400 before it counts
    as ready; without it a port that listens is enough, without a port that it runs.
    """

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    directory: str | None = None
    user: str | None = None
    needs: Sequence[str] = ()
    http_port: int | None = None
    ready_path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service of a box. wanted: it is to run whenever its box does. session_id: its last run."""

    box_id: str
    name: str
    spec: ServiceSpec
    wanted: bool
    created_at_ns: int
    session_id: str | None = None


@dataclass(slots=True)
class ServiceState:
    """What a service does now. Times are nanoseconds since 1970."""

    status: Status = "stopped"
    pid: int | None = None
    started_at_ns: int | None = None
    restart_count: int = 0
    next_restart_at_ns: int | None = None
    exit_code: int | None = None
    error: str | None = None


def check_name(name: str) -> str:
    """Return name if a service may have it; safe as a file name. Raises Invalid(bad_name)."""
    if _NAME.fullmatch(name) is None or ".." in name:
        raise Invalid(
            "bad_name",
            f"{name[:80]!r} is no name for a service. Use 1 to 63 letters, digits, '.', '_', '-'.",
        )
    return name


def check_spec(spec: ServiceSpec, name: str, others: Mapping[str, ServiceSpec]) -> None:
    """Raise unless a box with these other services may have this one.

    Raises Invalid(bad_service), Conflict(http_port_taken).
    """
    words = [*spec.argv, *spec.environment.keys(), *spec.environment.values()]
    if not spec.argv or not spec.argv[0] or len(words) > _WORDS_MAX:
        raise Invalid("bad_service", "A service needs a command, as a list of words.")
    if any("\0" in word for word in words) or any("=" in key for key in spec.environment):
        raise Invalid("bad_service", "No word holds a NUL, no variable's name an '='.")
    if spec.http_port is not None and not 1 <= spec.http_port <= _PORT_LAST:
        raise Invalid("bad_service", f"A port is a number from 1 to {_PORT_LAST}.")
    if spec.ready_path is not None and (
        spec.http_port is None or not re.fullmatch(r"/[!-~]{0,1000}", spec.ready_path)
    ):
        raise Invalid("bad_service", "A ready path is one like /healthz, of a service with a port.")
    if spec.http_port is not None:
        taken = [other for other, its in others.items() if its.http_port is not None]
        if taken:
            raise Conflict(
                "http_port_taken",
                f"another service already has an HTTP port configured: {taken[0]!r}. Delete it, or "
                "leave the port out.",
            )
    with_needs({**others, name: spec}, name)


def with_needs(specs: Mapping[str, ServiceSpec], name: str) -> list[str]:
    """Return name and all that it needs, each after what it needs itself.

    Raises Invalid(bad_needs) for a circle, or a need that is not there. What others need, which may
    have been deleted since, does not matter.
    """
    done: list[str] = []
    under_way: set[str] = set()

    def visit(each: str, asked_by: str) -> None:
        if each in done:
            return
        if each not in specs:
            raise Invalid("bad_needs", f"{asked_by} needs {each[:80]!r}, which is no service here.")
        if each in under_way:
            raise Invalid("bad_needs", f"{each} needs itself, by way of {asked_by}.")
        under_way.add(each)
        for need in sorted(specs[each].needs):
            visit(need, each)
        done.append(each)

    visit(name, name)
    return done


def restart_delay_ns(failures: int) -> int:
    """Return how long to wait after so many ends in a row."""
    return min(_DELAY_FIRST_NS << min(max(failures - 1, 0), 16), _DELAY_LONGEST_NS)


def failures_after(failures: int, ran_ns: int) -> int:
    """Return how many ends in a row there are now that one more came, after ran_ns of running."""
    return 1 if ran_ns >= _DELAY_LONGEST_NS else failures + 1
