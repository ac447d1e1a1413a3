"""A Skerry, as a program holds it: boxes, images, tokens, the trash, the machine."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Literal, Self, TypeAlias

from skerry import wire
from skerry.base import NotFound
from skerry.client import images
from skerry.client.box import Box
from skerry.client.calls import Calls, path_of
from skerry.client.endpoint import Endpoint, find_endpoint

_PAGE = 200  # boxes asked for at a time

Scope: TypeAlias = Literal["read", "write", "own", "admin"]


def connect(
    url: str | None = None, token: str | None = None, *, data: str | None = None
) -> "Cloud":
    """Return a Skerry, to be used as `async with skerry.connect() as cloud:`.

    In this order: url with token, data (the directory of a Skerry on this machine), the
    environment's SKERRY_URL with SKERRY_TOKEN, its SKERRY_DATA, /var/lib/skerry. Nothing is sent
    before the first call. Raises Invalid(bad_url, bad_token).
    """
    return Cloud(find_endpoint(url, token, data))


class Cloud:
    """A Skerry that is reached over the network or its socket. For one event loop.

    Every call raises NotAvailable(no_connection, connection_lost, timed_out), Unauthorized and
    Denied, beside what it says itself.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._calls = Calls(endpoint)

    @property
    def calls(self) -> Calls:
        """What all goes through, for a call that has no method here."""
        return self._calls

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._calls.close()

    # -- boxes --

    async def create(  # noqa: PLR0913 - what a box can be made with, all by name
        self,
        name: str | None = None,
        *,
        image: str | None = None,
        cpus: float | None = None,
        memory_bytes: int | None = None,
        disk_bytes: int | None = None,
        processes: int | None = None,
        labels: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        sleep: wire.Sleep | None = None,
    ) -> Box:
        """Make a box and start it. What is None is the server's default; a name is made up.

        env is the environment of every command in it. Raises Conflict(name_taken),
        Invalid(bad_name), NotFound(image_not_found), LimitReached, NotAvailable(box_start_failed).
        """
        limits = wire.Limits(cpus, memory_bytes, disk_bytes, processes)
        body = wire.CreateBox(
            name=name,
            image=image,
            limits=limits if limits != wire.Limits() else None,
            labels=list(labels),
            environment=dict(env or {}),
            sleep=sleep,
        )
        made = await self._calls.ask(wire.Box, "POST", path_of("boxes"), body=body)
        return Box(self._calls, made.name, made)

    async def get(self, name: str) -> Box:
        """Return a box that exists. Raises NotFound(box_not_found)."""
        box = self.box(name)
        await box.info()
        return box

    def box(self, name: str) -> Box:
        """Return a box without asking whether it exists."""
        return Box(self._calls, name)

    async def boxes(self, *, prefix: str = "", label: str | None = None) -> list[Box]:
        """Return all boxes in the order of names, or those whose name or a label fits."""
        found: list[wire.Box] = []
        after: str | None = None
        while True:
            query = [("max_results", str(_PAGE)), ("prefix", prefix)]
            query += [] if label is None else [("label", label)]
            query += [] if after is None else [("continuation_token", after)]
            page = await self._calls.ask(wire.BoxList, "GET", path_of("boxes"), query=query)
            found += page.boxes
            after = page.next_continuation_token
            if not page.has_more or after is None:
                return [Box(self._calls, each.name, each) for each in found]

    async def trash(self) -> list[wire.DestroyedBox]:
        """Return the destroyed boxes that can be brought back."""
        return await self._calls.ask(list[wire.DestroyedBox], "GET", path_of("trash"))

    async def undo(self, name_or_id: str | None = None, *, name: str | None = None) -> Box:
        """Bring a destroyed box back, the one destroyed last if none is said; name is a new name.

        Raises NotFound(not_in_trash), Conflict(name_taken).
        """
        if name_or_id is None:
            name_or_id = _last(await self.trash())
        query = [] if name is None else [("as", name)]
        path = path_of("trash", name_or_id, "undo")
        back = await self._calls.ask(wire.Box, "POST", path, query=query)
        return Box(self._calls, back.name, back)

    async def purge(self, name_or_id: str) -> None:
        """Delete a destroyed box for good. Raises NotFound(not_in_trash)."""
        await self._calls.tell("DELETE", path_of("trash", name_or_id))

    # -- images --

    async def images(self) -> list[wire.Image]:
        """Return the images that boxes can start from."""
        return await images.list_all(self._calls)

    def build_image(self, name: str, recipe: str | None = None) -> AsyncGenerator[wire.Progress]:
        """Build an image by a recipe, that of its own name if none is said.

        Yields how it goes on, `complete` last. Raises NotFound(no_such_recipe), Failed.
        """
        return images.build(self._calls, name, recipe)

    def import_image(self, name: str, host_path: str) -> AsyncGenerator[wire.Progress]:
        """Make an image of a directory, a tar of a root, an OCI layout or a `docker save` tar.

        host_path is on the host of the server. Yields as `build_image` does. Raises Failed.
        """
        return images.bring_in(self._calls, name, host_path)

    async def delete_image(self, name: str) -> None:
        """Delete an image; boxes made from it stay. Raises NotFound(image_not_found)."""
        await images.delete(self._calls, name)

    # -- the server --

    async def create_token(
        self, name: str, scopes: Sequence[Scope] | None = None
    ) -> wire.CreatedToken:
        """Make a token; its secret is told this once. Scopes: `read`, `write`, `admin`.

        Or `own` alone: only boxes that this token made.
        """
        body = wire.CreateToken(name=name, scopes=None if scopes is None else list(scopes))
        return await self._calls.ask(wire.CreatedToken, "POST", path_of("tokens"), body=body)

    async def tokens(self) -> list[wire.Token]:
        """Return the tokens, without their secrets."""
        return await self._calls.ask(list[wire.Token], "GET", path_of("tokens"))

    async def revoke_token(self, token_id: str) -> None:
        """Make a token worthless. Raises NotFound(token_not_found)."""
        await self._calls.tell("DELETE", path_of("tokens", token_id))

    async def version(self) -> wire.Version:
        """Return what runs there."""
        return await self._calls.ask(wire.Version, "GET", path_of("version"))

    async def doctor(self) -> wire.DoctorReport:
        """Return what the server's machine has and lacks."""
        return await self._calls.ask(wire.DoctorReport, "GET", path_of("doctor"))


def _last(trash: Sequence[wire.DestroyedBox]) -> str:
    if not trash:
        raise NotFound("not_in_trash", "The trash is empty; there is nothing to bring back.")
    return max(trash, key=lambda box: box.destroyed_at).id
