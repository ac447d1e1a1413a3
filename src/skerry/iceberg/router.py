"""Which operation a request is: by its method and path, as the specification writes them. Pure."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from skerry.base import Invalid, NotBuilt
from skerry.iceberg.call import Answer, Call

Handler: TypeAlias = Callable[[Call], Awaitable[Answer]]

LISTS, READS, WRITES, DELETES = "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"
"""What a policy must allow for a call: the first of the warehouse, the others of its objects."""


class Operation(NamedTuple):
    """One operation. path: with names in braces. allowed_by: the action that a policy must allow.

    It is asked for what the path names: the files of a table or view, else what is in a namespace.
    With LISTS, what a body names is for the handler to ask about.
    """

    method: str
    path: str
    handler: Handler
    allowed_by: str


class Router:
    """Finds operations."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        self._known = [(each, each.path.strip("/").split("/")) for each in operations]

    def endpoints(self) -> list[str]:
        """Return what there is, as clients are told."""
        return [f"{each.method} {each.path}" for each in self.operations]

    def find(self, method: str, steps: Sequence[str]) -> tuple[Operation, Mapping[str, str]]:
        """Return the operation of a request, and what its path names. Raises Invalid, NotBuilt."""
        is_known = False
        for operation, pattern in self._known:
            named = _named(pattern, steps)
            if named is None:
                continue
            if operation.method == method:
                return operation, named
            is_known = True
        if is_known:
            raise Invalid("method_not_allowed", f"There is nothing to {method} here.")
        raise NotBuilt("not_implemented", "There is no such call, or it is not built in Skerry.")


def steps_of(path: bytes) -> list[str]:
    """Return the steps of a path, decoded. Raises Invalid(bad_path)."""
    try:
        return [unquote_to_bytes(each).decode() for each in path.strip(b"/").split(b"/")]
    except UnicodeDecodeError:
        raise Invalid("bad_path", "A name is text in UTF-8.") from None


def _named(pattern: Sequence[str], steps: Sequence[str]) -> dict[str, str] | None:
    if len(pattern) != len(steps):
        return None
    named: dict[str, str] = {}
    for wanted, step in zip(pattern, steps, strict=True):
        if wanted.startswith("{"):
            named[wanted[1:-1]] = step
        elif wanted != step:
            return None
    return named
