"""One box, as a program holds it: its life, commands, files, checkpoints and forks."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager

from skerry import wire
from skerry.base import written_duration
from skerry.client import checkpoints, execs, images, session
from skerry.client.calls import Calls, path_of
from skerry.client.command import LOGIN_SHELL, Argument, Command, Environment, Input, Result
from skerry.client.files import Files
from skerry.client.forward import Forward, open_forward
from skerry.client.services import Services
from skerry.client.session import Session


class Box:
    """A box by its name. Made by `Cloud.create`, `Cloud.get`, `Cloud.box`, `Box.fork`.

    details: what the server last told of it, None before it told anything. Every call raises
    NotFound(box_not_found), NotAvailable(no_connection, connection_lost, timed_out),
    Unauthorized and Denied, beside what it says itself.
    """

    def __init__(self, calls: Calls, name: str, details: wire.Box | None = None) -> None:
        self._calls = calls
        self.name = name
        self.details = details
        self.files = Files(calls, name)
        self.services = Services(calls, name)

    def __repr__(self) -> str:
        return f"<Box {self.name}>"

    # -- life --

    async def info(self) -> wire.Box:
        """Return what it is and what it uses now."""
        return await self._changed("GET")

    async def update(
        self,
        *,
        labels: Sequence[str] | None = None,
        limits: wire.Limits | None = None,
        sleep: wire.Sleep | None = None,
    ) -> wire.Box:
        """Change its labels, limits or when it sleeps; what is None stays. Raises Invalid."""
        body = wire.UpdateBox(
            labels=None if labels is None else list(labels),
            clear_labels=labels is not None and not labels,
            limits=limits,
            sleep=sleep,
        )
        return await self._changed("PUT", body=body)

    async def start(self) -> wire.Box:
        """Start it; a box that runs is left alone. Raises NotAvailable(box_start_failed)."""
        return await self._changed("POST", "start")

    async def stop(self) -> wire.Box:
        """End all its processes; its disk stays, and the next use starts it again."""
        return await self._changed("POST", "stop")

    async def destroy(self, *, purge: bool = False) -> None:
        """Stop it and put it into the trash, from where `Cloud.undo` brings it back for a while.

        purge: delete it for good.
        """
        query = [("purge", "true")] if purge else []
        await self._calls.tell("DELETE", path_of("boxes", self.name), query=query)

    async def why(self) -> wire.Why:
        """Return why it is awake, or when it will sleep."""
        return await self._calls.ask(wire.Why, "GET", path_of("boxes", self.name, "why"))

    async def hold(self, name: str, seconds: float) -> wire.Hold:
        """Keep it awake for so long, or give a hold of that name this new end.

        Raises Invalid(bad_hold), LimitReached(holds_limit).
        """
        body = wire.RenewHold(expire=written_duration(round(seconds * 1e9)))
        path = path_of("boxes", self.name, "holds", name)
        return await self._calls.ask(wire.Hold, "PUT", path, body=body)

    async def holds(self) -> list[wire.Hold]:
        """Return what holds it awake."""
        path = path_of("boxes", self.name, "holds")
        return await self._calls.ask(list[wire.Hold], "GET", path)

    async def release(self, name: str) -> None:
        """End a hold. Raises NotFound(hold_not_found)."""
        await self._calls.tell("DELETE", path_of("boxes", self.name, "holds", name))

    async def url(self) -> wire.Url:
        """Return its web address, who may open that, and its own domains."""
        return await self._calls.ask(wire.Url, "GET", path_of("boxes", self.name, "url"))

    async def change_url(
        self, *, access: wire.Access | None = None, domains: Sequence[str] | None = None
    ) -> wire.Url:
        """Change who may open its web address, or which domains it has; what is None stays.

        Raises Invalid(bad_domain), Conflict(domain_taken).
        """
        body = wire.ChangeUrl(access, None if domains is None else list(domains))
        return await self._calls.ask(wire.Url, "PUT", path_of("boxes", self.name, "url"), body=body)

    async def share(self, seconds: float) -> wire.Share:
        """Return a link that opens its private web address for so long. Raises Invalid(bad_share)."""
        body = wire.NewShare(written_duration(round(seconds * 1e9)))
        path = path_of("boxes", self.name, "url", "shares")
        return await self._calls.ask(wire.Share, "POST", path, body=body)

    async def end_shares(self) -> None:
        """End all share links, and the logins that came of them."""
        await self._calls.tell("DELETE", path_of("boxes", self.name, "url", "shares"))

    async def published(self) -> list[wire.Publication]:
        """Return its ports that are published: ports of the server's machine too."""
        path = path_of("boxes", self.name, "published")
        return await self._calls.ask(list[wire.Publication], "GET", path)

    async def publish(self, listen: str, port: int) -> wire.Publication:
        """Make ADDRESS:PORT of the server's machine a port of it, for raw TCP from wherever.

        Raises Invalid(bad_address), Conflict(address_taken).
        """
        body = wire.Publication(listen=listen, port=port)
        path = path_of("boxes", self.name, "published")
        return await self._calls.ask(wire.Publication, "PUT", path, body=body)

    async def unpublish(self, listen: str) -> None:
        """Take ADDRESS:PORT from it again. Raises NotFound(not_published)."""
        path = path_of("boxes", self.name, "published")
        await self._calls.tell("DELETE", path, query=[("listen", listen)])

    async def _changed(
        self, method: str, *parts: str, body: wire.UpdateBox | None = None
    ) -> wire.Box:
        path = path_of("boxes", self.name, *parts)
        self.details = await self._calls.ask(wire.Box, method, path, body=body)
        return self.details

    async def policy(self) -> wire.Policy:
        """Return its network policy; without rules its network is open."""
        path = path_of("boxes", self.name, "policy", "network")
        return await self._calls.ask(wire.Policy, "GET", path)

    async def set_policy(self, policy: wire.Policy) -> None:
        """Replace its network policy, at once. Raises Invalid(bad_policy), which names the rule."""
        path = path_of("boxes", self.name, "policy", "network")
        await self._calls.tell("POST", path, body=policy)

    async def policy_log(self) -> list[wire.RefusalShape]:
        """Return what it was refused, the oldest first."""
        path = path_of("boxes", self.name, "policy", "network", "log")
        return await self._calls.ask(list[wire.RefusalShape], "GET", path)

    def forward(self, port: int) -> AbstractAsyncContextManager[Forward]:
        """Give a block a connection to a port on its localhost; it is woken first.

        Raises Failed(port_closed) where nothing listens.
        """
        return open_forward(self._calls, self.name, port)

    # -- commands --

    async def exec(
        self,
        *argv: Argument,
        env: Environment | None = None,
        dir: str | None = None,  # noqa: A002 - the word of the protocol
        user: str | None = None,
        stdin: Input | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as subprocess.run has it
        check: bool = False,
        contain: bool = False,
    ) -> Result:
        """Run a command to its end; return its exit code and what it wrote.

        Of a large output the first part is kept, and `Result.truncated` says so; `stream` gives
        all of it.

        argv goes to the box as it is, through no shell. env is added to the default one. stdin is
        what it reads: text, bytes or pieces. timeout, in seconds, ends it and all it started.
        contain ends what it left in the background. Being cancelled ends it too. Raises
        NotFound(command_not_found), Invalid(command_not_runnable, bad_directory, bad_user),
        CommandTimedOut, and with check CommandFailed unless the exit code is 0.
        """
        command = Command(argv=argv, environment=env, directory=dir, user=user, contain=contain)
        result = await execs.run(self._calls, self.name, command, stdin, timeout)
        return execs.checked(result) if check else result

    def stream(
        self,
        *argv: Argument,
        env: Environment | None = None,
        dir: str | None = None,  # noqa: A002 - the word of the protocol
        user: str | None = None,
        stdin: Input | None = None,
        timeout: float | None = None,
        contain: bool = False,
    ) -> AbstractAsyncContextManager[Session]:
        """Run a command while the block reads what it writes, as it comes.

        `async with box.stream("make") as session: async for name, data in session: ...`, where
        name is `stdout` or `stderr`. Leaving the block ends the command. Raises as `exec` does.
        """
        command = Command(argv=argv, environment=env, directory=dir, user=user, contain=contain)
        return execs.stream(self._calls, self.name, command, stdin, timeout)

    def open(  # noqa: PLR0913 - as above
        self,
        *argv: Argument,
        env: Environment | None = None,
        dir: str | None = None,  # noqa: A002 - the word of the protocol
        user: str | None = None,
        tty: bool = False,
        rows: int = 24,
        cols: int = 80,
        stdin: bool = True,
        contain: bool = False,
        max_run_after_disconnect: float | None = None,
    ) -> AbstractAsyncContextManager[Session]:
        """Start a command that the block reads from and writes to.

        Leaving the block ends the command, unless it called `Session.detach`; then it runs on for
        max_run_after_disconnect seconds (None is 10 s, with a terminal for ever; infinity is for
        ever). Raises as `exec` does.
        """
        command = Command(
            argv=argv,
            environment=env,
            directory=dir,
            user=user,
            tty=tty,
            rows=rows,
            cols=cols,
            stdin=stdin,
            contain=contain,
            max_run_after_disconnect_seconds=max_run_after_disconnect,
        )
        return session.open_session(self._calls, self.name, command)

    def console(
        self,
        *,
        rows: int = 24,
        cols: int = 80,
        env: Environment | None = None,
        user: str | None = None,
    ) -> AbstractAsyncContextManager[Session]:
        """Open the user's own shell on a terminal. As `open`; env should name TERM."""
        return self.open(*LOGIN_SHELL, tty=True, rows=rows, cols=cols, env=env, user=user)

    async def sessions(self) -> list[wire.Session]:
        """Return its sessions, the oldest first."""
        return await session.list_all(self._calls, self.name)

    def attach(self, session_id: str) -> AbstractAsyncContextManager[Session]:
        """Join a session: its recent output first, then what comes. Leaving the block leaves it be.

        Raises NotFound(session_not_found).
        """
        return session.attach_session(self._calls, self.name, session_id)

    async def kill(
        self, session_id: str, signal: str = "TERM", *, grace: float = 10.0
    ) -> int | None:
        """Send signal to a session, after grace seconds SIGKILL to all that it started.

        Returns its exit code, None if it is not known. Raises NotFound(session_gone).
        """
        return await session.kill(self._calls, self.name, session_id, signal, grace)

    # -- checkpoints and forks --

    async def checkpoint(self, comment: str = "") -> wire.Checkpoint:
        """Keep the disk as it is now, while the box runs on.

        Raises LimitReached, Conflict(nested_subvolumes).
        """
        return await checkpoints.create(self._calls, self.name, comment)

    async def checkpoints(self, *, automatic: bool = False) -> list[wire.Checkpoint]:
        """Return its checkpoints, the oldest first; automatic: those that Skerry made too."""
        return await checkpoints.list_all(self._calls, self.name, automatic=automatic)

    async def checkpoint_info(self, checkpoint: str) -> wire.Checkpoint:
        """Return one checkpoint. Raises NotFound(checkpoint_not_found), as do all below."""
        return await checkpoints.find(self._calls, self.name, checkpoint)

    async def diff(self, old: str, new: str | None = None) -> list[wire.Change]:
        """Return which files differ from checkpoint old to new, or to the disk as it is now."""
        return await checkpoints.diff(self._calls, self.name, old, new)

    async def restore(self, checkpoint: str) -> str:
        """Put the box back to a checkpoint, which ends what runs in it.

        Returns the name of the automatic checkpoint that keeps the state that was replaced.
        """
        return await checkpoints.restore(self._calls, self.name, checkpoint)

    async def delete_checkpoint(self, checkpoint: str) -> None:
        """Delete a checkpoint."""
        await checkpoints.delete(self._calls, self.name, checkpoint)

    async def read_from_checkpoint(self, checkpoint: str, path: str) -> bytes:
        """Return what a file held then. Raises NotFound(file_not_found)."""
        async with self.open_from_checkpoint(checkpoint, path) as pieces:
            return b"".join([piece async for piece in pieces])

    @contextlib.asynccontextmanager
    async def open_from_checkpoint(
        self, checkpoint: str, path: str
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Give the block the pieces of a file of then, as they come."""
        async with checkpoints.open_file(self._calls, self.name, checkpoint, path) as pieces:
            yield pieces

    async def fork(self, name: str | None = None, *, checkpoint: str | None = None) -> "Box":
        """Make a new box from this one as it is now, or from a checkpoint of it.

        It has the same disk, limits and labels, and an identity of its own; without a name one is
        made up. Raises Conflict(name_taken), Invalid(bad_name), LimitReached.
        """
        (only,) = await self._forked(wire.Fork(name=name, checkpoint=checkpoint))
        return only

    async def fork_many(
        self, name: str, count: int, *, checkpoint: str | None = None
    ) -> "list[Box]":
        """Make count boxes `name-0`, `name-1` and so on from this one, all or none. As `fork`."""
        return await self._forked(wire.Fork(name=name, checkpoint=checkpoint, count=count))

    async def _forked(self, body: wire.Fork) -> "list[Box]":
        path = path_of("boxes", self.name, "fork")
        made = await self._calls.ask(
            list[wire.Box], "POST", path, body=body, limit_seconds=_FORK_SECONDS_MAX
        )
        return [Box(self._calls, each.name, each) for each in made]

    async def save_as_image(self, image: str, *, checkpoint: str | None = None) -> wire.Image:
        """Keep the disk, or a checkpoint, as an image that boxes can start from."""
        return await images.save(self._calls, self.name, image, checkpoint)


_FORK_SECONDS_MAX = 600.0  # a thousand at once take a while
