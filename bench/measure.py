"""Times, percentiles, and how they are shown."""

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """One line of the table. Times in milliseconds, sizes in MB; must and aim hold for p50."""

    name: str
    unit: str
    count: int
    p50: float
    p95: float
    p99: float
    must: float | None = None
    aim: float | None = None


def timed(work: Callable[[], object]) -> float:
    """Return how many milliseconds work took."""
    begin_ns = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - begin_ns) / 1e6


def percentile(values: list[float], share: float) -> float:
    """Return the value that share of values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def result(
    name: str,
    values: list[float],
    *,
    unit: str = "ms",
    must: float | None = None,
    aim: float | None = None,
) -> Result:
    """Return the line for values."""
    p50, p95, p99 = (round(percentile(values, share), 2) for share in (0.5, 0.95, 0.99))
    return Result(name, unit, len(values), p50, p95, p99, must, aim)


def machine() -> str:
    """Return one line that says what this was measured on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**30
    return f"{os.cpu_count()} x {model}, {memory} GiB, Linux {platform.release()}"


def table(results: list[Result]) -> str:
    """Return results as a Markdown table."""
    lines = [
        "| | p50 | p95 | p99 | N | must | aim |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for r in results:
        marks = [f"{v:g} {r.unit}" if v is not None else "" for v in (r.must, r.aim)]
        lines.append(
            f"| {r.name} | {r.p50:g} {r.unit} | {r.p95:g} | {r.p99:g} | {r.count} "
            f"| {marks[0]} | {marks[1]} |"
        )
    return "\n".join(lines)


def write_json(path: Path, results: list[Result]) -> None:
    """Write results and the machine to path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "results": [asdict(r) for r in results]}
    path.write_text(json.dumps(content, indent=2) + "\n")
