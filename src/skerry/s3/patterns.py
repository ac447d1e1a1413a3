"""Patterns of policies: text with `*`, `?` and variables, matched in bounded time. Pure.

A pattern is cut at each `*`; its pieces are looked for one after another, each as early as it can
be, which needs no way back. So no pattern takes longer than its size times that of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from skerry.base import Invalid

Values: TypeAlias = Callable[[str], Sequence[str]]
"""What a request has by the name of a condition key, in lower case; nothing if it lacks it."""

PATTERN_CHARACTERS_MAX = 2048
TEXT_CHARACTERS_MAX = 4096
_VARIABLE = re.compile(r"\$\{([^${}]*)\}")
_NAME = re.compile(r"\s*([A-Za-z0-9]+:[^,']+?)\s*(?:,\s*'([^']*)'\s*)?")
_LITERAL = {"*", "?", "$"}


@dataclass(frozen=True, slots=True)
class Variable:
    """A part of a pattern that stands for a value of the request, taken as it is."""

    name: str
    default: str | None


@dataclass(frozen=True, slots=True)
class AnyOne:
    """A part of a pattern that stands for one character."""


_Part: TypeAlias = str | AnyOne | Variable
_ANY_ONE = AnyOne()


@dataclass(frozen=True, slots=True)
class _Piece:
    """What stands between two `*`, of a known size. shape: where it has a `?`."""

    size: int
    text: str
    shape: re.Pattern[str] | None

    def begins(self, text: str, at: int) -> bool:
        if self.shape is not None:
            return self.shape.match(text, at) is not None
        return text.startswith(self.text, at)

    def find(self, text: str, begin: int, end: int) -> int:
        """Return where it ends first, between begin and end, or -1."""
        if self.shape is not None:
            found = self.shape.search(text, begin, end)
            return found.end() if found else -1
        at = text.find(self.text, begin, end)
        return at + self.size if at >= 0 else -1


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern. variables: the names of those without a default, in lower case."""

    parts: tuple[tuple[_Part, ...], ...]
    pieces: tuple[_Piece, ...] | None
    variables: frozenset[str]

    def matches(self, text: str, values: Values) -> bool:
        """Tell whether a text fits; none does where a variable has no value."""
        if len(text) > TEXT_CHARACTERS_MAX:
            raise Invalid("bad_argument", "What a policy looks at has at most 4096 characters.")
        pieces = self.pieces
        if pieces is None:
            resolved = [_resolved(parts, values) for parts in self.parts]
            found = [_piece(parts) for parts in resolved if parts is not None]
            if len(found) < len(resolved):
                return False
            pieces = tuple(found)
        return _matches(pieces, text)


def pattern(text: str, name_of: Callable[[str], str | None]) -> Pattern:
    """Return a pattern with `*`, `?` and variables. Raises ValueError."""
    return _made(text, name_of, "*?")


def exact(text: str, name_of: Callable[[str], str | None]) -> Pattern:
    """Return a pattern with variables alone. Raises ValueError."""
    return _made(text, name_of, "")


def wildcards(text: str) -> Pattern:
    """Return a pattern with `*` and `?`, in which `$` means nothing. Raises ValueError."""
    _check_size(text)
    parts = tuple(tuple(_split(each, "?")) for each in text.split("*"))
    return Pattern(parts, tuple(_piece(each) for each in parts), frozenset())


def verbatim(text: str) -> Pattern:
    """Return a pattern that only the text itself fits. Raises ValueError."""
    _check_size(text)
    parts = (text,) if text else ()
    return Pattern((parts,), (_piece(parts),), frozenset())


def _check_size(text: str) -> None:
    if len(text) > PATTERN_CHARACTERS_MAX:
        raise ValueError(f"{text[:40]!r}... has more than {PATTERN_CHARACTERS_MAX} characters")


def _made(text: str, name_of: Callable[[str], str | None], wild: str) -> Pattern:
    _check_size(text)
    cut: list[list[_Part]] = [[]]
    names: set[str] = set()
    at = 0
    for match in _VARIABLE.finditer(text):
        _add(cut, text[at : match.start()], wild)
        at = match.end()
        if match[1] in _LITERAL:
            cut[-1].append(match[1])
            continue
        variable = _variable(match[1], name_of)
        cut[-1].append(variable)
        if variable.default is None:
            names.add(variable.name)
    _add(cut, text[at:], wild)
    parts = tuple(tuple(each) for each in cut)
    has_variable = any(isinstance(part, Variable) for each in parts for part in each)
    pieces = None if has_variable else tuple(_piece(each) for each in parts)
    return Pattern(parts, pieces, frozenset(names))


def _variable(text: str, name_of: Callable[[str], str | None]) -> Variable:
    match = _NAME.fullmatch(text)
    name = name_of(match[1]) if match else None
    if match is None or name is None:
        raise ValueError(f"there is no policy variable ${{{text[:60]}}} here")
    return Variable(name, match[2])


def _add(cut: list[list[_Part]], text: str, wild: str) -> None:
    if "${" in text:
        raise ValueError(f"{text[:60]!r} has a policy variable without an end")
    if not wild:
        cut[-1] += [text] if text else []
        return
    first, *others = text.split("*")
    cut[-1] += _split(first, "?")
    cut += [_split(each, "?") for each in others]


def _split(text: str, one: str) -> list[_Part]:
    parts: list[_Part] = []
    for number, each in enumerate(text.split(one)):
        parts += [_ANY_ONE] if number else []
        parts += [each] if each else []
    return parts


def _resolved(parts: Sequence[_Part], values: Values) -> list[_Part] | None:
    found: list[_Part] = []
    for part in parts:
        if not isinstance(part, Variable):
            found.append(part)
            continue
        said = values(part.name)
        value = said[0] if len(said) == 1 else part.default
        if value is None:
            return None
        found.append(value)
    return found


def _piece(parts: Sequence[_Part]) -> _Piece:
    texts = [part for part in parts if isinstance(part, str)]
    size = sum(map(len, texts)) + len(parts) - len(texts)
    if len(texts) == len(parts):
        return _Piece(size, "".join(texts), None)
    shape = "".join(re.escape(part) if isinstance(part, str) else "." for part in parts)
    return _Piece(size, "", re.compile(shape, re.DOTALL))


def _matches(pieces: Sequence[_Piece], text: str) -> bool:
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return len(text) == first.size and first.begins(text, 0)
    end = len(text) - last.size
    if end < first.size or not first.begins(text, 0) or not last.begins(text, end):
        return False
    at = first.size
    for piece in pieces[1:-1]:
        at = piece.find(text, at, end)
        if at < 0:
            return False
    return True
