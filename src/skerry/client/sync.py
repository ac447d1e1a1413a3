"""The synchronous face of the SDK: the same names, each waiting for the asynchronous one.

Repeats no logic: every method here hands its call to the method of the same name there, through a
portal to one background thread. Arguments, types and docstrings are those of the original.
"""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from skerry import wire
from skerry.client.box import Box
from skerry.client.cloud import Cloud, connect
from skerry.client.command import Stream
from skerry.client.files import Files
from skerry.client.forward import Forward
from skerry.client.portal import Portal
from skerry.client.services import Services
from skerry.client.session import Session

_P = ParamSpec("_P")
_R = TypeVar("_R")
_A = TypeVar("_A")
_Real_co = TypeVar("_Real_co", covariant=True)


class _Face(Generic[_Real_co]):
    """Something asynchronous, and the portal to where it lives."""

    def __init__(self, portal: Portal, real: _Real_co) -> None:
        self._portal = portal
        self._real = real

    @property
    def portal(self) -> Portal:
        """The way to the thread where all happens."""
        return self._portal

    @property
    def real(self) -> _Real_co:
        """The asynchronous original; it belongs to the portal's thread."""
        return self._real

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._real!r}>"


def _blocking(
    method: Callable[Concatenate[_A, _P], Coroutine[Any, Any, _R]],
) -> Callable[Concatenate[_Face[_A], _P], _R]:
    @functools.wraps(method)
    def call(face: _Face[_A], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return face.portal.wait_for(method(face.real, *args, **kwargs))

    return call


def _making_box(
    method: Callable[Concatenate[_A, _P], Coroutine[Any, Any, Box]],
) -> "Callable[Concatenate[_Face[_A], _P], SyncBox]":
    @functools.wraps(method)
    def call(face: _Face[_A], *args: _P.args, **kwargs: _P.kwargs) -> "SyncBox":
        return SyncBox(face.portal, face.portal.wait_for(method(face.real, *args, **kwargs)))

    return call


def _making_boxes(
    method: Callable[Concatenate[_A, _P], Coroutine[Any, Any, list[Box]]],
) -> "Callable[Concatenate[_Face[_A], _P], list[SyncBox]]":
    @functools.wraps(method)
    def call(face: _Face[_A], *args: _P.args, **kwargs: _P.kwargs) -> "list[SyncBox]":
        boxes = face.portal.wait_for(method(face.real, *args, **kwargs))
        return [SyncBox(face.portal, box) for box in boxes]

    return call


def _yielding(
    method: Callable[Concatenate[_A, _P], AsyncIterator[_R]],
) -> Callable[Concatenate[_Face[_A], _P], Iterator[_R]]:
    @functools.wraps(method)
    def call(face: _Face[_A], *args: _P.args, **kwargs: _P.kwargs) -> Iterator[_R]:
        return face.portal.iterate(method(face.real, *args, **kwargs))

    return call


def _opening_session(
    method: Callable[Concatenate[_A, _P], AbstractAsyncContextManager[Session]],
) -> "Callable[Concatenate[_Face[_A], _P], AbstractContextManager[SyncSession]]":
    @functools.wraps(method)
    @contextmanager
    def call(face: _Face[_A], *args: _P.args, **kwargs: _P.kwargs) -> "Generator[SyncSession]":
        with face.portal.inside(method(face.real, *args, **kwargs)) as session:
            yield SyncSession(face.portal, session)

    return call


def _opening_forward(
    method: Callable[Concatenate[_A, _P], AbstractAsyncContextManager[Forward]],
) -> "Callable[Concatenate[_Face[_A], _P], AbstractContextManager[SyncForward]]":
    @functools.wraps(method)
    @contextmanager
    def call(face: _Face[_A], *args: _P.args, **kwargs: _P.kwargs) -> "Generator[SyncForward]":
        with face.portal.inside(method(face.real, *args, **kwargs)) as forward:
            yield SyncForward(face.portal, forward)

    return call


def _opening_items(
    method: Callable[Concatenate[_A, _P], AbstractAsyncContextManager[AsyncIterator[_R]]],
) -> Callable[Concatenate[_Face[_A], _P], AbstractContextManager[Iterator[_R]]]:
    @functools.wraps(method)
    @contextmanager
    def call(face: _Face[_A], *args: _P.args, **kwargs: _P.kwargs) -> Generator[Iterator[_R]]:
        with face.portal.inside(method(face.real, *args, **kwargs)) as items:
            yield face.portal.iterate(items)

    return call


class SyncSession(_Face[Session]):
    """A `Session` for code that waits."""

    write = _blocking(Session.write)
    write_eof = _blocking(Session.write_eof)
    resize = _blocking(Session.resize)
    signal = _blocking(Session.signal)
    wait = _blocking(Session.wait)
    detach = _blocking(Session.detach)

    def __iter__(self) -> Iterator[tuple[Stream, bytes]]:
        return self.portal.iterate(self.real)

    @property
    def id(self) -> str:
        """Its id, by which others can join it."""
        return self.real.id

    @property
    def exit_code(self) -> int | None:
        """How the command ended, None until its end has been read."""
        return self.real.exit_code


class SyncFiles(_Face[Files]):
    """The `Files` of a box for code that waits. Progress is told in the background thread."""

    open = _opening_items(Files.open)
    read = _blocking(Files.read)
    read_text = _blocking(Files.read_text)
    write = _blocking(Files.write)
    list = _blocking(Files.list)
    stat = _blocking(Files.stat)
    exists = _blocking(Files.exists)
    make_directory = _blocking(Files.make_directory)
    make_link = _blocking(Files.make_link)
    delete = _blocking(Files.delete)
    rename = _blocking(Files.rename)
    copy = _blocking(Files.copy)
    chmod = _blocking(Files.chmod)
    chown = _blocking(Files.chown)
    watch = _opening_items(Files.watch)
    push = _blocking(Files.push)
    pull = _blocking(Files.pull)


class SyncForward(_Face[Forward]):
    """A `Forward` for code that waits."""

    read = _blocking(Forward.read)
    write = _blocking(Forward.write)
    write_eof = _blocking(Forward.write_eof)


class SyncServices(_Face[Services]):
    """The `Services` of a box for code that waits."""

    list = _blocking(Services.list)
    get = _blocking(Services.get)
    put = _blocking(Services.put)
    start = _blocking(Services.start)
    stop = _blocking(Services.stop)
    restart = _blocking(Services.restart)
    signal = _blocking(Services.signal)
    delete = _blocking(Services.delete)
    logs = _opening_items(Services.logs)


class SyncBox(_Face[Box]):
    """A `Box` for code that waits."""

    info = _blocking(Box.info)
    update = _blocking(Box.update)
    start = _blocking(Box.start)
    stop = _blocking(Box.stop)
    why = _blocking(Box.why)
    hold = _blocking(Box.hold)
    holds = _blocking(Box.holds)
    release = _blocking(Box.release)
    policy = _blocking(Box.policy)
    url = _blocking(Box.url)
    change_url = _blocking(Box.change_url)
    share = _blocking(Box.share)
    end_shares = _blocking(Box.end_shares)
    published = _blocking(Box.published)
    publish = _blocking(Box.publish)
    unpublish = _blocking(Box.unpublish)
    set_policy = _blocking(Box.set_policy)
    policy_log = _blocking(Box.policy_log)
    forward = _opening_forward(Box.forward)
    destroy = _blocking(Box.destroy)
    exec = _blocking(Box.exec)
    stream = _opening_session(Box.stream)
    open = _opening_session(Box.open)
    console = _opening_session(Box.console)
    sessions = _blocking(Box.sessions)
    attach = _opening_session(Box.attach)
    kill = _blocking(Box.kill)
    checkpoint = _blocking(Box.checkpoint)
    checkpoints = _blocking(Box.checkpoints)
    checkpoint_info = _blocking(Box.checkpoint_info)
    diff = _blocking(Box.diff)
    restore = _blocking(Box.restore)
    delete_checkpoint = _blocking(Box.delete_checkpoint)
    read_from_checkpoint = _blocking(Box.read_from_checkpoint)
    open_from_checkpoint = _opening_items(Box.open_from_checkpoint)
    fork = _making_box(Box.fork)
    fork_many = _making_boxes(Box.fork_many)
    save_as_image = _blocking(Box.save_as_image)

    @property
    def name(self) -> str:
        """Its name."""
        return self.real.name

    @property
    def details(self) -> wire.Box | None:
        """What the server last told of it."""
        return self.real.details

    @property
    def files(self) -> SyncFiles:
        """Its files."""
        return SyncFiles(self.portal, self.real.files)

    @property
    def services(self) -> SyncServices:
        """Its services."""
        return SyncServices(self.portal, self.real.services)


class SyncCloud(_Face[Cloud]):
    """A `Cloud` for code that waits. May be used from several threads."""

    create = _making_box(Cloud.create)
    get = _making_box(Cloud.get)
    boxes = _making_boxes(Cloud.boxes)
    trash = _blocking(Cloud.trash)
    undo = _making_box(Cloud.undo)
    purge = _blocking(Cloud.purge)
    images = _blocking(Cloud.images)
    build_image = _yielding(Cloud.build_image)
    import_image = _yielding(Cloud.import_image)
    delete_image = _blocking(Cloud.delete_image)
    create_token = _blocking(Cloud.create_token)
    tokens = _blocking(Cloud.tokens)
    revoke_token = _blocking(Cloud.revoke_token)
    version = _blocking(Cloud.version)
    doctor = _blocking(Cloud.doctor)

    def box(self, name: str) -> SyncBox:
        """Return a box without asking whether it exists."""
        return SyncBox(self.portal, self.real.box(name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread."""
        try:
            self.portal.wait_for(self.real.__aexit__(None, None, None))
        finally:
            self.portal.close()


def connect_sync(
    url: str | None = None, token: str | None = None, *, data: str | None = None
) -> SyncCloud:
    """Return a Skerry, to be used as `with skerry.connect_sync() as cloud:`. As `connect`.

    Raises Invalid(bad_url, bad_token).
    """
    return SyncCloud(Portal(), connect(url, token, data=data))
