"""The page of a run: how it stands, with its charts, as one HTML file that loads itself anew.

Pure text. It needs no script and no other file, so that it is whole wherever it is put: a plain web
server, a mail. It does not know who serves it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

import msgspec

from skerry_train.bill import Status, dollars, duration
from skerry_train.chart.single import CHARTS

# A run that is over changes only if somebody goes on with it.
_REFRESH_RUNNING_S, _REFRESH_OVER_S = 10, 60

_LOOK = """
body { font: 15px/1.45 "DejaVu Sans", Verdana, sans-serif; color: #222; background: #fff;
  max-width: 1100px; margin: 1.2em auto; padding: 0 1em; }
h1 { font-size: 1.4em; margin: 0; } h1 small { font-weight: normal; color: #666; }
.bar { height: 8px; background: #e4e4e4; margin: .6em 0 1.2em; }
.bar div { height: 100%; background: #0072B2; }
.figures { display: flex; flex-wrap: wrap; gap: .8em 2.2em; margin: 0; }
.figures dt { color: #666; font-size: .85em; } .figures dd { margin: 0; font-size: 1.25em; }
table { border-collapse: collapse; margin: 1.4em 0; }
td, th { padding: .15em 1.4em .15em 0; text-align: right; font-weight: normal; }
th:first-child, td:first-child { text-align: left; } th { color: #666; font-size: .85em; }
tr.sum td { border-top: 1px solid #999; }
figure { margin: 1.2em 0; } figure svg { width: 100%; height: auto; }
"""
_ID = re.compile(rb'(\bid="|href="#|url\(#)')


def page(status: Status, charts: Mapping[str, bytes]) -> bytes:
    """Return the page. charts: SVG files by their names, `loss.svg` and so on."""
    refresh_s = _REFRESH_RUNNING_S if status.records.is_open else _REFRESH_OVER_S
    head = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n'
        f'<meta http-equiv="refresh" content="{refresh_s}">\n'
        f"<title>{_text(status.name)}</title>\n<style>{_LOOK}</style>\n</head>\n<body>\n"
        f"<h1>{_text(status.name)} <small>{_text(status.state)}</small></h1>\n"
    )
    parts = [head, _progress(status), _figures(status), _clock(status)]
    text = "".join(parts).encode()
    pictures = b"".join(_inline(name, charts[f"{name}.svg"]) for name in CHARTS)
    return text + pictures + b"</body>\n</html>\n"


def figures(status: Status) -> dict[str, str]:
    """Return the latest figures of a run by what they are, as people read them."""
    records, shown = status.records, dict[str, str]()
    if records.steps:
        last = records.steps[-1]
        steps = records.sessions[-1].steps if records.sessions else last.step
        shown["step"] = f"{last.step:,} of {steps:,}"
        shown["tokens seen"] = f"{last.tokens:,}"
        shown["training loss"] = _number(last.loss, ".4f")
        shown["learning rate"] = f"{last.lr:.3g}"
        shown["gradient norm"] = _number(last.grad_norm, ".3g")
        shown["tokens a second"] = _number(last.tokens_per_s, ",.0f")
        if last.mfu is not None:
            shown["MFU"] = f"{100 * last.mfu:.1f} %"
    if records.validations:
        shown["validation loss"] = f"{records.validations[-1].loss:.4f}"
    best = [each for each in records.checkpoints if each.is_best]
    if best:
        shown["best checkpoint"] = f"step {best[-1].step:,}"
    if status.forecast is not None:
        shown["time left"] = duration(status.forecast.seconds_left)
        shown["whole time"] = duration(status.forecast.seconds_total)
        if status.forecast.cost_total_usd_micros is not None:
            shown["cost in the end"] = dollars(status.forecast.cost_total_usd_micros)
    if status.costs is not None:
        shown["cost so far"] = dollars(status.costs.total)
    return shown


def _progress(status: Status) -> str:
    records = status.records
    if not records.steps or not records.sessions:
        return "<p>No step has been done yet.</p>\n"
    share = min(1.0, records.steps[-1].step / max(1, records.sessions[-1].steps))
    return f'<div class="bar"><div style="width: {100 * share:.2f}%"></div></div>\n'


def _figures(status: Status) -> str:
    rows = figures(status).items()
    inner = "".join(
        f"<div><dt>{_text(name)}</dt><dd>{_text(text)}</dd></div>" for name, text in rows
    )
    return f'<dl class="figures">{inner}</dl>\n' if inner else ""


def _clock(status: Status) -> str:
    seconds = msgspec.structs.asdict(status.clock_s)
    money = msgspec.structs.asdict(status.costs) if status.costs else {}
    rows = [
        f"<tr><td>{part}</td><td>{duration(s)}</td><td>{dollars(money.get(part))}</td></tr>"
        for part, s in seconds.items()
        if s
    ]
    if not rows:
        return ""
    total = status.costs.total if status.costs else None
    without = status.costs.without_validation if status.costs else None
    rows.append(
        f'<tr class="sum"><td>all</td><td>{duration(status.clock_s.total)}</td>'
        f"<td>{dollars(total)}</td></tr>"
    )
    if status.clock_s.validate:
        rest_s = status.clock_s.total - status.clock_s.validate
        rows.append(
            f"<tr><td>without validation</td><td>{duration(rest_s)}</td>"
            f"<td>{dollars(without)}</td></tr>"
        )
    return (
        "<table><tr><th>clock</th><th>time</th><th>cost</th></tr>\n"
        + "\n".join(rows)
        + "\n</table>\n"
    )


def _inline(name: str, svg: bytes) -> bytes:
    """Return a chart to stand within the page, its names apart from those of other charts."""
    picture = _ID.sub(rb"\g<1>" + name.encode() + b"-", svg[svg.index(b"<svg") :])
    label = name.replace("_", " ").encode()
    return (
        b"<figure>"
        + picture.replace(b"<svg", b'<svg role="img" aria-label="' + label + b'"', 1)
        + b"</figure>\n"
    )


def _number(value: float | None, form: str) -> str:
    return "no number" if value is None else f"{value:{form}}"


def _text(text: str) -> str:
    # A name of a directory may hold bytes that are no text; they can not be sent as such.
    return escape(text.encode(errors="replace").decode())
