"""What each way of computing is worth: `python -m bench.ladder`, on a GPU or on a CPU, in one go.

Each rung adds one thing to the rung before. Then the top of the ladder with larger micro-batches, the
chunked loss, each kernel of attention; and the posts' own loop, with the ratio to it. Writes a table,
JSON and a chart.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import torch

from bench.rung import Result, Rung

RUNG_S_MAX = 900

GPU_MODEL: dict[str, Any] = {"drop_rate": 0.0}
CPU_MODEL: dict[str, Any] = {
    "vocab_size": 4096, "context_length": 256, "emb_dim": 256, "n_heads": 8, "n_layers": 4, "drop_rate": 0.0,
}  # fmt: skip
EAGER: dict[str, Any] = {
    "precision": "tf32", "attention": "plain", "parts": "plain", "fused_qkv": False,
    "fused_optimizer": False, "compile": False,
}  # fmt: skip
STEPS_UP: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("eager", {}, {}),
    ("+ bf16", {}, {"precision": "bf16"}),
    ("+ SDPA", {}, {"attention": "auto"}),
    ("+ native norm and GELU", {}, {"parts": "native"}),
    ("+ fused QKV", {}, {"fused_qkv": True}),
    ("+ compile", {}, {"compile": True}),
    ("+ fused AdamW", {}, {"fused_optimizer": True}),
    ("+ padded vocabulary", {"vocab_padding": 128}, {}),
]


def rungs(device: str, microbatch: int, *, is_small: bool) -> Iterator[Rung]:
    """Yield all that is measured."""
    base = CPU_MODEL if is_small else GPU_MODEL
    # A CPU has no fast 16 bits of its own everywhere; there the ladder stays in 32.
    pace: dict[str, Any] = {"rounds": 5, "steps": 3, "warm": 2} if is_small else {}
    posts = EAGER | {"precision": "fp32" if is_small else "fp16", "microbatch_size": microbatch}
    yield Rung(name="the posts' loop", model=base, train=posts, device=device, loop="posts", **pace)
    model, train = dict(base), EAGER | {"microbatch_size": microbatch}
    if is_small:
        yield Rung(
            name="a plain PyTorch loop",
            model=base,
            train=train,
            device=device,
            loop="pytorch",
            **pace,
        )
    for name, model_change, train_change in STEPS_UP:
        if is_small and "precision" in train_change:
            continue
        model, train = model | model_change, train | train_change
        yield Rung(name=name, model=dict(model), train=dict(train), device=device, **pace)
    yield from _at_the_top(model, train, device, pace, is_small=is_small)


def _at_the_top(
    model: dict[str, Any],
    train: dict[str, Any],
    device: str,
    pace: dict[str, Any],
    *,
    is_small: bool,
) -> Iterator[Rung]:
    for size in (4, 8, 16) if is_small else (16, 32, 64, 96):
        sized = train | {"microbatch_size": size}
        yield Rung(name=f"micro-batch {size}", model=model, train=sized, device=device, **pace)
        chunked = sized | {"loss": "chunked"}
        yield Rung(
            name=f"micro-batch {size}, chunked loss",
            model=model,
            train=chunked,
            device=device,
            **pace,
        )
    if not is_small:
        for kernel in ("cudnn", "flash", "efficient"):
            chosen = train | {"microbatch_size": 64, "attention": kernel}
            yield Rung(
                name=f"micro-batch 64, {kernel} attention", model=model, train=chosen, device=device
            )


def climb(rung: Rung) -> Result:
    """Measure a rung in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.rung"], input=msgspec.json.encode(rung), capture_output=True,
            timeout=RUNG_S_MAX, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Result(name=rung.name, error=f"took longer than {RUNG_S_MAX} s")
    try:
        return msgspec.json.decode(done.stdout, type=Result)
    except msgspec.DecodeError:
        last = done.stderr.decode(errors="replace").strip().splitlines() or ["said nothing"]
        return Result(name=rung.name, error=last[-1][:200])


def table(results: list[Result]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| way | tokens/s p50 | p95 | p99 | x first | MFU (PaLM) | MFU (causal) | memory GiB | N |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first = next((each.tokens_per_s_p50 for each in results if each.tokens_per_s_p50), None)
    for each in results:
        if each.tokens_per_s_p50 is None or first is None:
            lines.append(f"| {each.name} | {each.error} | | | | | | | |")
            continue
        p95, p99 = each.tokens_per_s_p95 or 0, each.tokens_per_s_p99 or 0
        mfu = (
            [f"{each.mfu_palm:.1%}", f"{each.mfu_causal:.1%}"]
            if each.mfu_palm and each.mfu_causal
            else ["", ""]
        )
        memory = f"{each.peak_bytes / 2**30:.1f}" if each.peak_bytes else ""
        lines.append(
            f"| {each.name} | {each.tokens_per_s_p50:,.0f} | {p95:,.0f} | {p99:,.0f} |"
            f" {each.tokens_per_s_p50 / first:.2f} | {mfu[0]} | {mfu[1]} | {memory} |"
            f" {each.rounds} x {each.steps} |"
        )
    return "\n".join(lines)


def draw(results: list[Result], path: Path) -> None:
    """Draw the results as bars, the first at the top."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    known = [each for each in results if each.tokens_per_s_p50 is not None]
    figure, axes = plt.subplots(figsize=(9, 0.3 * len(known) + 1), layout="constrained")
    bars = axes.barh(
        [each.name for each in known],
        [each.tokens_per_s_p50 or 0 for each in known],
        color="#0072b2",
    )
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel("tokens per second")
    axes.margins(x=0.15)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Measure everything and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    has_gpu = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if has_gpu else "cpu")
    parser.add_argument("--microbatch", type=int, default=16 if has_gpu else 8)
    parser.add_argument("--out", type=Path, default=Path("build/ladder"))
    parser.add_argument("--only", help="rungs whose names hold this")
    told = parser.parse_args()
    is_small = told.device == "cpu"
    results: list[Result] = []
    for rung in rungs(told.device, told.microbatch, is_small=is_small):
        if told.only and told.only not in rung.name:
            continue
        results.append(climb(rung))
        speed = results[-1].tokens_per_s_p50
        print(
            f"{rung.name}: {f'{speed:,.0f} tokens/s' if speed else results[-1].error}",
            file=sys.stderr,
        )
    name = (
        torch.cuda.get_device_name()
        if not is_small
        else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    told.out.mkdir(parents=True, exist_ok=True)
    record = {
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "machine": name, "torch": torch.__version__,
        "results": [msgspec.to_builtins(each) for each in results],
    }  # fmt: skip
    (told.out / "ladder.json").write_text(json.dumps(record, indent=2) + "\n")
    (told.out / "ladder.md").write_text(
        f"{name}, PyTorch {torch.__version__}\n\n{table(results)}\n"
    )
    draw(results, told.out / "ladder.svg")
    print((told.out / "ladder.md").read_text())


if __name__ == "__main__":
    main()
