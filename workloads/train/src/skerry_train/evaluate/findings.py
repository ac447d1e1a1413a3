"""What evaluations leave behind: `evaluation.json` of a run, and JSON files that are whole or not there.

It does not know how anything is measured.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from skerry_train.errors import BadData, TrainerError
from skerry_train.record import full, replace

NAME = "evaluation.json"
_FILE_BYTES_MAX = 1 << 28


def read_evaluation(run: Path) -> dict[str, Any]:
    """Return what is known about a run: `held_back_loss`, `instruct_score`; empty if nothing is."""
    return read_object(run / NAME) if (run / NAME).exists() else {}


def evaluation_of(run: Path, checkpoint: str) -> dict[str, Any]:
    """Return what is known about one checkpoint of a run: what was measured on another is left out."""
    known = read_evaluation(run)
    measured = {
        "held_back_loss": known.get("held_back"),
        "instruct_score": known.get("instruct_score"),
    }
    return {
        name: known[name]
        for name, how in measured.items()
        if name in known and isinstance(how, dict) and how.get("checkpoint") == checkpoint
    }


def note(run: Path, **facts: Any) -> None:  # noqa: ANN401 - any JSON
    """Put facts into a run's `evaluation.json`; others that stand there stay."""
    write_object(run / NAME, read_evaluation(run) | facts)


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises BadData if there is none, or if it is far too large."""
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise BadData(f"{path} is larger than 256 MiB; is it the right file?")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise BadData(f"{path} can not be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BadData(f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadData(f"{path} has to hold one JSON object")
    return cast("dict[str, Any]", document)


def write_object(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON object so that a reader meets the old file or the whole new one.

    Raises NoRoom if the disk is full, TrainerError if the file can not be written for another reason.
    """
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, text.encode())
    except OSError as error:
        raise not_written(path, error) from None


def not_written(path: Path, error: OSError) -> Exception:
    """Return the error of a file that could not be written, in a sentence."""
    told = full(error, path.name)
    if told is not error:
        return told
    return TrainerError(f"{path} can not be written: {error.strerror}; name another place")
