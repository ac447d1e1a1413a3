"""Which operation of S3 a request is: by its method, what it is about, and its query. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from skerry.base import Invalid, NotBuilt
from skerry.s3.call import Call
from skerry.s3.connection import Response

On: TypeAlias = Literal["service", "bucket", "object"]
Handler: TypeAlias = Callable[[Call], Awaitable[Response]]

_READS = frozenset({"GET", "HEAD"})  # what names too much there does no harm

# Where AWS calls the action otherwise than the operation.
_ACTIONS = {
    "GetBucketCors": "s3:GetBucketCORS",
    "PutBucketCors": "s3:PutBucketCORS",
    "DeleteBucketCors": "s3:PutBucketCORS",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "DeleteBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "GetBucketReplication": "s3:GetReplicationConfiguration",
    "GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "GetBucketAccelerateConfiguration": "s3:GetAccelerateConfiguration",
    "DeleteBucketTagging": "s3:PutBucketTagging",
    "GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "PutObjectLockConfiguration": "s3:PutBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation, by its name at AWS. query: names (and values) that must be there.

    header: one that must be there. action: what a policy allows; that of the name if empty.
    checks_itself: the handler asks whether that is allowed, when it knows of what.
    """

    name: str
    method: str
    on: On
    handler: Handler | None
    query: Mapping[str, str] | None = None
    header: str = ""
    action: str = ""
    checks_itself: bool = False

    @property
    def allowed_by(self) -> str:
        """The action that a policy must allow."""
        return self.action or _ACTIONS.get(self.name) or f"s3:{self.name}"


class Router:
    """Finds operations. Those with more conditions come first."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        self._found: dict[tuple[str, On], list[Operation]] = {}
        for each in sorted(operations, key=lambda o: -len(o.query or ()) - bool(o.header)):
            self._found.setdefault((each.method, each.on), []).append(each)
        self._headers = {each.header for each in operations if each.header}
        self._names: dict[On, set[str]] = {}
        for each in operations:
            self._names.setdefault(each.on, set()).update(each.query or ())
        self._plain = {
            (each.method, each.on): each
            for each in operations
            if each.handler and not each.query and not each.header
        }

    def find(
        self, method: str, on: On, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Operation:
        """Return the operation of a request. Raises Invalid(method_not_allowed), NotBuilt."""
        if not query and self._headers.isdisjoint(headers):
            plain = self._plain.get((method, on))
            if plain is not None:
                return plain
        for each in self._found.get((method, on), ()):
            if each.header and each.header not in headers:
                continue
            if all(
                name in query and value in ("", query[name])
                for name, value in (each.query or {}).items()
            ):
                if not each.query and method not in _READS:
                    self._check_plain(method, on, query)
                if each.handler is None:
                    raise NotBuilt("not_implemented", f"{each.name} is not built in Skerry.")
                return each
        raise Invalid("method_not_allowed", f"There is nothing to {method} here.")

    def _check_plain(self, method: str, on: On, query: Mapping[str, str]) -> None:
        """Raise where a change of all of something names a part of it, which has no such method.

        Else who would delete an object's legal hold, or puts a part and forgets its number, would
        have deleted or replaced the object.
        """
        if named := sorted(self._names.get(on, set()) & query.keys()):
            raise Invalid("method_not_allowed", f"There is nothing to {method} by {named[0]} here.")
