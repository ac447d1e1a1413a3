"""The model card: what was trained, on what, how, and what came of it, from the run's own records.

What is not recorded is left out. It does not know where the card goes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from skerry_train.model import parameters
from skerry_train.record import Summary
from skerry_train.settings import ModelSettings, TrainSettings

Rows = Sequence[tuple[str, str | None]]

_TEMPLATE = """\
---
{front}
---

# {name}

A GPT-2 with {parameters:,} parameters{trained}. It is a base model: it writes on from a text, and was
not taught to follow instructions or to keep from harm.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{where}")
model = AutoModelForCausalLM.from_pretrained("{where}")
ids = tokenizer("Every effort moves you", return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(ids, max_new_tokens=20, do_sample=True, top_k=25)[0]))
```

## The model

{model}

## Its training

{training}

## What it came to

{results}

## Licence

{licence}
"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a card is made from. licence: as the hub names it, such as `apache-2.0`; None if none is given.

    where: the folder or the repository on a hub that a reader loads it from.
    """

    name: str
    where: str
    model: ModelSettings
    train: TrainSettings | None = None
    summary: Summary | None = None
    evaluation: dict[str, Any] = field(default_factory=dict[str, Any])
    licence: str | None = None


def card(told: Told) -> str:
    """Return the model card, in Markdown with the hub's front matter."""
    front: dict[str, Any] = {
        "library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["gpt2", "base-model"],
    }  # fmt: skip
    if told.licence:
        front["license"] = told.licence
    if told.train and re.fullmatch(r"[\w.-]+/[\w.-]+", told.train.dataset):
        front["datasets"] = [told.train.dataset]
    return _TEMPLATE.format(
        # JSON is YAML, and needs no rules for what has to be quoted.
        front="\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items()),
        name=_plain(told.name),
        where=_plain(told.where),
        parameters=_parameters(told.model),
        trained=", trained from scratch to predict the next token" if told.train else "",
        model=_table(_of_model(told.model)),
        training=_table(_of_training(told)) if told.train else "The run has no record of it.",
        results=_table(_of_results(told.summary, told.evaluation)),
        licence=_plain(told.licence) if told.licence else "Its author has named none.",
    )


def _parameters(model: ModelSettings) -> int:
    """Return the parameters that are exported: without rows of padding."""
    padding = model.padded_vocab_size - model.vocab_size
    return parameters(model) - padding * model.emb_dim * (1 if model.tie_weights else 2)


def _of_model(model: ModelSettings) -> Rows:
    return [
        ("Parameters", f"{_parameters(model):,}"),
        ("Context", f"{model.context_length:,} tokens"),
        ("Vocabulary", f"{model.vocab_size:,}"),
        ("Width, layers, heads", f"{model.emb_dim}, {model.n_layers}, {model.n_heads}"),
        ("Bias for query, key, value", "yes" if model.qkv_bias else "no"),
        ("Head tied to the embedding", "yes" if model.tie_weights else "no"),
    ]


def _of_training(told: Told) -> Rows:
    train, summary = told.train, told.summary
    assert train is not None
    schedule = (
        f"warm-up over {train.warmup_period_percent:g} % of the steps, then cosine to a tenth"
    )
    return [
        ("Data", train.dataset),
        ("Tokens seen", f"{summary.tokens:,}" if summary else None),
        ("Steps", f"{summary.steps:,}" if summary else None),
        ("Global batch", f"{summary.global_batch:,} sequences" if summary else None),
        ("Learning rate", f"{train.learning_rate:g}"),
        ("Schedule", schedule if train.schedule_learning_rate else "constant"),
        ("Weight decay", f"{train.weight_decay:g}"),
        (
            "Gradient clipping",
            f"{train.clipping_max_norm:g}" if train.clipping_max_norm else "none",
        ),
        ("Dropout", f"{told.model.drop_rate:g}"),
        ("Precision", train.numbers),
        ("Seed", str(train.random_seed)),
        ("Machine", f"{summary.world_size} x {summary.device}" if summary else None),
        ("Time", _time(summary.clock_s.total) if summary else None),
        ("Cost", _dollars(summary.cost_usd_micros) if summary else None),
    ]


def _of_results(summary: Summary | None, evaluation: dict[str, Any]) -> Rows:
    score = evaluation.get("instruct_score") or {}
    return [
        ("Training loss at the end", _number(summary.final_train_loss, 4) if summary else None),
        ("Validation loss at the end", _number(summary.final_val_loss, 4) if summary else None),
        ("Loss on held-back text", _number(evaluation.get("held_back_loss"), 6)),
        ("Instruction test, 0 to 100", _number(score.get("mean"), 2)),
    ]


def _table(rows: Rows) -> str:
    known = [f"| {name} | {_plain(value)} |" for name, value in rows if value is not None]
    return "\n".join(["| | |", "|---|---|", *known]) if known else "Nothing is recorded."


def _plain(text: str) -> str:
    """Return text that can not end a row of a table or a line of code."""
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'").replace('"', "'")


def _number(value: object, digits: int) -> str | None:
    return f"{value:.{digits}f}" if isinstance(value, int | float) else None


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes else f"{seconds:.0f} s"


def _dollars(micros: int | None) -> str | None:
    return None if micros is None else f"${micros / 1e6:,.2f}"
