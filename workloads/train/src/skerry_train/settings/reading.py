"""Reading a JSON document into a record, with errors that name the key and the nearest known one.

It knows no key itself.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from skerry_train.errors import BadSettings

_DOCUMENT_BYTES_MAX = 1 << 20  # a person writes these

T = TypeVar("T", bound=msgspec.Struct)


def read(path: Path, kind: type[T]) -> T:
    """Read a record from a JSON file.

    Raises BadSettings if the file is missing, no JSON object, or has a key or a value that is not known.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_DOCUMENT_BYTES_MAX + 1)
    except FileNotFoundError:
        raise BadSettings(f"there is no {path}; make it, or name another run directory") from None
    except OSError as error:
        raise BadSettings(f"{path} can not be read: {error.strerror}") from None
    if len(data) > _DOCUMENT_BYTES_MAX:
        raise BadSettings(f"{path} is larger than 1 MiB; settings are a few lines of JSON")
    return parse(data, kind, str(path))


def parse(data: bytes, kind: type[T], name: str) -> T:
    """Make a record from JSON text. name: what errors call the text."""
    try:
        document = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"{name} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadSettings(f"{name} has to hold one JSON object, as in {{...}}")
    return convert(cast("dict[str, Any]", document), kind, name)


def convert(document: dict[str, Any], kind: type[T], name: str) -> T:
    """Make a record from a JSON object."""
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    for key in document:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = (
                f"; did you mean {near[0]!r}?"
                if near
                else f"; known are {', '.join(sorted(known))}"
            )
            raise BadSettings(f"{name} has an unknown key {key!r}{hint}")
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise BadSettings(f"{name}: {error}") from None


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number that can be set")
