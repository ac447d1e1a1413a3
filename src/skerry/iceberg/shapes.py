"""The documents of the protocol, as far as the catalogue looks into them. Pure.

What the library or a client alone understands stays as it was sent.
"""

from __future__ import annotations

from msgspec import Raw, Struct, field

from skerry.tables import Identifier

_NULL = Raw(b"null")  # a union with None would not keep what was sent


class Named(Struct, frozen=True):
    """The name of a table or view."""

    namespace: tuple[str, ...]
    name: str

    def identifier(self) -> Identifier:
        """Return it as the catalogue has it."""
        return Identifier(self.namespace, self.name)


class NewNamespace(Struct, frozen=True):
    """A namespace that is to be made."""

    namespace: tuple[str, ...]
    properties: dict[str, str] | None = None


class NamespaceChange(Struct, frozen=True):
    """What is to be set and removed."""

    removals: list[str] | None = None
    updates: dict[str, str] | None = None


class NewTable(Struct, frozen=True, rename="kebab"):
    """A table that is to be made."""

    name: str
    schema: Raw
    location: str | None = None
    partition_spec: Raw = _NULL
    write_order: Raw = _NULL
    stage_create: bool | None = None
    properties: dict[str, str] | None = None


class NewView(Struct, frozen=True, rename="kebab"):
    """A view that is to be made."""

    name: str
    schema: Raw
    view_version: Raw
    location: str | None = None
    properties: dict[str, str] | None = None


class Registered(Struct, frozen=True, rename="kebab"):
    """A table or view whose metadata is there."""

    name: str
    metadata_location: str
    overwrite: bool | None = None


class Commit(Struct, frozen=True):
    """What is to become of a table or view."""

    identifier: Named | None = None
    requirements: list[Raw] = field(default_factory=list[Raw])
    updates: list[Raw] = field(default_factory=list[Raw])


class Transaction(Struct, frozen=True, rename="kebab"):
    """What is to become of several tables at once."""

    table_changes: list[Commit]


class Rename(Struct, frozen=True):
    """What is to have another name."""

    source: Named
    destination: Named


class Loaded(Struct, frozen=True, rename="kebab", omit_defaults=True):
    """A table or view as it is now."""

    metadata: Raw
    metadata_location: str | None = None
    config: dict[str, str] | None = None


class Names(Struct, frozen=True, rename="kebab", omit_defaults=True):
    """A page of tables or views."""

    identifiers: list[Named] | None = None
    namespaces: list[tuple[str, ...]] | None = None
    next_page_token: str | None = None
