"""Shapes of files in a box. Modes are octal text such as `0644`.

working_dir: where relative paths begin; `~` is the home of the user who asks.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from skerry.wire.words import Path


class Entry(Struct, kw_only=True, rename="camel"):
    """One file or directory. `path` is absolute in the box."""

    name: str
    path: str
    type: Literal["file", "directory", "symlink", "other"]
    size: int
    mode: str
    mod_time: str
    is_dir: bool
    uid: int
    gid: int
    target: str | None = None


class Listing(Struct, kw_only=True):
    """`GET .../fs/list`: the entries of a directory, or the one entry of a file."""

    path: str
    entries: list[Entry]
    count: int


class Written(Struct, kw_only=True):
    """`PUT .../fs/write`."""

    path: str
    size: int
    mode: str


class DeleteFile(Struct, rename="camel"):
    """The body of `DELETE .../fs/delete` (its fields may be in the query instead)."""

    path: Path
    working_dir: str = "~"
    recursive: bool = False
    as_root: bool = False


class CopyOrRename(Struct, rename="camel"):
    """The body of `POST .../fs/copy` and `/rename`."""

    source: Path
    dest: Path
    working_dir: str = "~"
    recursive: bool = False
    preserve_attrs: bool = False
    as_root: bool = False


class MakeLink(Struct, rename="camel"):
    """The body of `POST .../fs/symlink`: path will lead to target, whatever that is."""

    path: Path
    target: Path
    working_dir: str = "~"
    as_root: bool = False


class ChangeMode(Struct, rename="camel"):
    """The body of `POST .../fs/chmod`."""

    path: Path
    mode: Annotated[str, Meta(pattern="^[0-7]{1,5}$")]
    working_dir: str = "~"
    recursive: bool = False
    as_root: bool = False


class ChangeOwner(Struct, rename="camel"):
    """The body of `POST .../fs/chown`; an id left out stays as it is."""

    path: Path
    uid: Annotated[int, Meta(ge=0, le=65535)] | None = None
    gid: Annotated[int, Meta(ge=0, le=65535)] | None = None
    working_dir: str = "~"
    recursive: bool = False
    as_root: bool = False


class Affected(Struct, kw_only=True, rename="camel"):
    """What a copy, rename, delete or change of mode or owner touched."""

    affected: list[str] = field(default_factory=list[str])
    copied: list[str] = field(default_factory=list[str])
    count: int = 0
    total_bytes: int = 0


class Watch(Struct, rename="camel"):
    """What a client sends to `fs/watch`, once per path or set of paths."""

    type: Literal["subscribe", "unsubscribe"] = "subscribe"
    paths: Annotated[list[Path], Meta(max_length=64)] = field(default_factory=list[str])
    recursive: bool = False
    working_dir: str = "/"


class WatchEvent(Struct, kw_only=True, rename="camel", omit_defaults=True):
    """What the server sends: `subscribed`, `event` or `error`."""

    type: str
    paths: list[str] | None = None
    path: str | None = None
    event: str | None = None
    timestamp: str | None = None
    size: int | None = None
    is_dir: bool | None = None
    code: str | None = None
    message: str | None = None
