"""Copies between files and objects, many at once, big ones in parts: on s3transfer, AWS's own.

It bounds what is held in memory, sends checksums, tries again what failed on the way, and gives up
its uploads at the remote when it is cancelled. What this adds: no more than a few files are open
at a time, and each file appears under its name only when it is whole.
"""

import contextlib
import errno
import mimetypes
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeAlias

from skerry.base import Conflict, Failed, NotFound, SkerryError
from skerry.remotes.model import Place
from skerry.remotes.s3 import AT_ONCE, S3, told
from skerry.remotes.sync_plan import Item

PART_BYTES = 8 << 20
_FLIGHTS_MAX = 2 * AT_ONCE  # files that are open; some wait for their last part
# In all about 10 parts up and 10 down, and what waits to be written.
_PARTS_IN_MEMORY = 10
_IO_BYTES, _IO_QUEUE = 256 << 10, 64
_PROPERTIES = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType",
    "Metadata",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moved:
    """How far the copies are, and what is being copied."""

    path: str
    files: int
    size_bytes: int


Watcher: TypeAlias = Callable[[Moved], None]


class Count:
    """What was copied. Counted by several threads."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._lock = threading.Lock()
        self.files = 0
        self.size_bytes = 0

    def moved(self, path: str, size_bytes: int, files: int = 0) -> None:
        """Count bytes of path, and files that are done with them."""
        with self._lock:
            self.size_bytes += size_bytes
            self.files += files
            self._watcher(Moved(path, self.files, self.size_bytes))


@dataclass(frozen=True, slots=True)
class _Flight:
    path: str
    future: Any
    opened: contextlib.ExitStack


class _Watch:
    """Hears from s3transfer, in its threads, how far one copy is."""

    def __init__(self, path: str, count: Count, item: Item | None = None) -> None:
        self._path = path
        self._count = count
        self._item = item

    def on_queued(self, future: Any, **_: object) -> None:  # noqa: ANN401 - s3transfer's
        """Tell what is known already, so that it need not be asked for."""
        if self._item is not None:
            future.meta.provide_transfer_size(self._item.size_bytes)
            future.meta.provide_object_etag(self._item.etag)

    def on_progress(self, bytes_transferred: int, **_: object) -> None:
        """Count; a part that is sent again is taken back first."""
        self._count.moved(self._path, bytes_transferred)


class Transfers:
    """Copies to or from one remote. Leaving `with` waits for all, or cancels all after an error.

    Each call begins a copy, and waits for earlier ones, whose errors it raises, if many are under
    way. skipped: what could not be copied and need not end the rest, each with the reason.
    """

    def __init__(self, client: S3, count: Count) -> None:
        from s3transfer.manager import TransferConfig, TransferManager  # noqa: PLC0415 - an extra

        config = TransferConfig(
            multipart_threshold=PART_BYTES,
            multipart_chunksize=PART_BYTES,
            max_request_concurrency=AT_ONCE,
            max_submission_concurrency=AT_ONCE,
            max_request_queue_size=4 * AT_ONCE,
            max_in_memory_upload_chunks=_PARTS_IN_MEMORY,
            max_in_memory_download_chunks=_PARTS_IN_MEMORY,
            io_chunksize=_IO_BYTES,
            max_io_queue_size=_IO_QUEUE,
        )
        self._client = client
        self._manager: Any = TransferManager(client, config)
        self._count = count
        self._flights: deque[_Flight] = deque()
        self.skipped: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            while error is None and self._flights:
                self._land()
        except BaseException as failed:
            self._give_up(failed)
            raise
        if error is not None:
            self._give_up(error)
        else:
            self._manager.shutdown()

    def upload(
        self, file: BinaryIO, place: Place, properties: Mapping[str, Any] | None = None
    ) -> None:
        """Send a file, which is closed at the end. properties: what is said of the object.

        Raises as `told`.
        """
        if properties is None:
            kind = mimetypes.guess_type(place.key, strict=False)[0]
            properties = {"ContentType": kind} if kind else {}
        with contextlib.ExitStack() as opened:
            opened.callback(file.close)
            watch = _Watch(str(place), self._count)
            future = self._manager.upload(file, place.bucket, place.key, dict(properties), [watch])
            self._begun(str(place), future, opened)

    def download(
        self, place: Place, target: contextlib.AbstractContextManager[BinaryIO], item: Item
    ) -> None:
        """Fetch an object into the file that target gives. item: what a listing told of it.

        Raises OSError, and as `told`.
        """
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(target)
            watch = _Watch(str(place), self._count, item)
            future = self._manager.download(place.bucket, place.key, file, None, [watch])
            self._begun(str(place), future, opened)

    def copy(self, source: Place, place: Place) -> None:
        """Copy an object within the remote. Raises as `told`."""
        with told(source):
            found = self._client.head_object(Bucket=source.bucket, Key=source.key)
        named = {"Bucket": source.bucket, "Key": source.key}
        watch = _Watch(str(place), self._count)
        future = self._manager.copy(named, place.bucket, place.key, properties_of(found), [watch])
        self._begun(str(place), future, contextlib.ExitStack())

    def _begun(self, path: str, future: Any, opened: contextlib.ExitStack) -> None:  # noqa: ANN401
        self._flights.append(_Flight(path, future, opened.pop_all()))
        while len(self._flights) >= _FLIGHTS_MAX:
            self._land()

    def _land(self) -> None:
        """Wait for the oldest one. What ends the wait leaves it there, to be given up in order."""
        flight = self._flights[0]
        try:
            with _known(flight.path):
                flight.future.result()
        except (NotFound, Conflict) as error:  # deleted or replaced since it was listed
            if is_about_bucket(error):
                raise
            self._flights.popleft()
            flight.opened.__exit__(type(error), error, None)
            self.skipped.append(error.message)
            return
        self._flights.popleft()
        try:
            flight.opened.close()
        except OSError as error:
            if error.errno not in IN_THE_WAY:
                raise
            self.skipped.append(f"{flight.path}: {error.strerror}")
            return
        self._count.moved(flight.path, 0, files=1)

    def _give_up(self, error: BaseException) -> None:
        try:
            # Waits for its threads: the files stay open until none uses them. Its `shutdown` takes
            # the same way, but mixes up what it is told (s3transfer 0.19).
            self._manager.__exit__(type(error), error, None)
        finally:
            for flight in self._flights:
                flight.opened.__exit__(type(error), error, None)
            self._flights.clear()


IN_THE_WAY = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOENT, errno.EEXIST)
"""Errors that say that something else stands where one file should be."""


def is_about_bucket(error: SkerryError) -> bool:
    """Tell whether an error is about the whole bucket, so that no other key fares better."""
    return error.details.get("remote_code") in ("NoSuchBucket", "NoSuchUpload")


def properties_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer to HEAD or GET says of an object, to be said of its copy."""
    return {name: found[name] for name in _PROPERTIES if found.get(name)}


@contextlib.contextmanager
def _known(path: str) -> Generator[None]:
    from s3transfer import exceptions  # noqa: PLC0415 - an extra

    try:
        with told(path):
            yield
    except exceptions.S3DownloadFailedError:  # says that the ETag is another now
        raise Conflict("object_changed", f"{path}: It was replaced meanwhile.") from None
    except (
        exceptions.RetriesExceededError, exceptions.S3ValidationError, exceptions.CancelledError,
    ) as error:  # fmt: skip
        raise Failed("transfer_failed", f"{path}: {error}") from None
