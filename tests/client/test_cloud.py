"""The SDK as the README shows it, against the real API over the simulated machine."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import skerry
from skerry import wire
from skerry.base import Conflict, Denied, Invalid, NotFound, Unauthorized
from skerry.client import Box, Cloud, CommandFailed, CommandTimedOut
from tests.client.conftest import Served

Work = Callable[[Cloud], Coroutine[Any, Any, None]]


def use(served: Served, work: Work) -> None:
    """Run work as the administrator."""

    async def run() -> None:
        async with skerry.connect(data=str(served.socket_path.parent)) as cloud:
            await work(cloud)

    asyncio.run(run())


def use_box(served: Served, work: Callable[[Cloud, Box], Coroutine[Any, Any, None]]) -> None:
    async def with_box(cloud: Cloud) -> None:
        await work(cloud, await cloud.create("dev", labels=["a"], env={"A": "1"}))

    use(served, with_box)


def test_a_box_is_made_used_and_destroyed(served: Served) -> None:
    async def work(cloud: Cloud) -> None:
        box = await cloud.create("dev", cpus=1, memory_bytes=64 << 20, labels=["x"])
        assert (await box.exec("echo", "a  b", "$HOME")).stdout == "a  b $HOME\n"
        assert (await box.info()).limits.cpus == 1
        await box.destroy()
        assert await cloud.boxes() == []

    use(served, work)


def test_a_name_is_made_up(served: Served) -> None:
    async def work(cloud: Cloud) -> None:
        box = await cloud.create()
        assert [each.name for each in await cloud.boxes()] == [box.name]
        assert box.details is not None
        assert box.details.status == "running"

    use(served, work)


def test_all_boxes_are_listed_over_many_pages(served: Served) -> None:
    async def work(cloud: Cloud) -> None:
        box = await cloud.create("a", labels=["x"])
        await box.fork_many("b", 210)
        assert len(await cloud.boxes()) == 211
        assert len(await cloud.boxes(prefix="b-1")) == 111
        assert len(await cloud.boxes(label="x")) == 211

    use(served, work)


def test_a_box_that_is_not_there(served: Served) -> None:
    async def work(cloud: Cloud) -> None:
        with pytest.raises(NotFound) as caught:
            await cloud.get("nope")
        assert caught.value.code == "box_not_found"

    use(served, work)


def test_a_name_that_is_taken_or_bad(served: Served) -> None:
    async def work(cloud: Cloud, _box: Box) -> None:
        with pytest.raises(Conflict):
            await cloud.create("dev")
        with pytest.raises(Invalid):
            await cloud.create("../../etc")

    use_box(served, work)


def test_commands_pass_on_input_output_and_exit_code(served: Served) -> None:
    async def work(_cloud: Cloud, box: Box) -> None:
        assert (await box.exec("cat", stdin="text")).stdout == "text"
        assert (await box.exec("cat", stdin=b"\xff\x00")).stdout_bytes == b"\xff\x00"
        assert (await box.exec("sh", "-c", "exit 7")).exit_code == 7
        assert (await box.exec("echo", b"\xff")).stdout_bytes == b"\xff\n"
        with pytest.raises(CommandFailed):
            await box.exec("sh", "-c", "exit 7", check=True)

    use_box(served, work)


def test_ten_thousand_arguments_arrive_both_ways(served: Served) -> None:
    words = [f"{number % 10}" for number in range(10_000)]

    async def work(_cloud: Cloud, box: Box) -> None:
        assert (await box.exec("echo", *words)).stdout.split() == words
        async with box.stream("echo", *words) as session:
            output = b"".join([data async for _, data in session])
        assert output.decode().split() == words

    use_box(served, work)


def test_a_command_that_takes_too_long_leaves_nothing(served: Served) -> None:
    async def work(_cloud: Cloud, box: Box) -> None:
        with pytest.raises(CommandTimedOut):
            await box.exec("sleep", "100", timeout=0.1)
        assert [each.is_active for each in await box.sessions()] == [False]

    use_box(served, work)


def test_a_session_is_left_joined_and_killed(served: Served) -> None:
    async def work(_cloud: Cloud, box: Box) -> None:
        async with box.open("sleep", "100", max_run_after_disconnect=float("inf")) as session:
            await session.detach()
        assert [each.id for each in await box.sessions() if each.is_active] == [session.id]
        async with box.attach(session.id) as joined:
            assert await box.kill(session.id, grace=1) == 143
            assert await joined.wait() == 143
        with pytest.raises(NotFound):
            await box.kill(session.id)

    use_box(served, work)


def test_checkpoints_are_made_listed_restored_and_deleted(served: Served) -> None:
    async def work(_cloud: Cloud, box: Box) -> None:
        await box.exec("tee", "/etc/note", stdin="one")
        made = await box.checkpoint("good")
        assert (made.id, made.comment) == ("v1", "good")
        await box.exec("tee", "/etc/note", stdin="two")
        assert wire.Change(path="/etc/note", kind="modified") in await box.diff("v1")
        kept = await box.restore("v1")
        assert (await box.exec("cat", "/etc/note")).stdout == "one"
        assert await box.read_from_checkpoint("v1", "/etc/note") == b"one"
        assert [each.id for each in await box.checkpoints(automatic=True)] == ["v1", kept]
        await box.delete_checkpoint("v1")
        assert await box.checkpoints() == []

    use_box(served, work)


def test_a_checkpoint_that_is_not_there(served: Served) -> None:
    async def work(_cloud: Cloud, box: Box) -> None:
        for call in (box.restore("v9"), box.checkpoint_info("v9"), box.diff("v9")):
            with pytest.raises(NotFound) as caught:
                await call
            assert caught.value.code == "checkpoint_not_found"

    use_box(served, work)


def test_forks_are_boxes_of_their_own(served: Served) -> None:
    async def work(cloud: Cloud, box: Box) -> None:
        await box.checkpoint()
        one = await box.fork("one", checkpoint="v1")
        many = await box.fork_many("many", 3)
        assert one.details is not None
        assert one.details.forked_from == "dev@v1"
        assert [each.name for each in many] == ["many-0", "many-1", "many-2"]
        assert len(await cloud.boxes()) == 5

    use_box(served, work)


def test_what_was_destroyed_comes_back(served: Served) -> None:
    async def work(cloud: Cloud, box: Box) -> None:
        await box.destroy()
        assert [each.name for each in await cloud.trash()] == ["dev"]
        assert (await cloud.undo(name="again")).name == "again"
        await cloud.box("again").destroy(purge=True)
        with pytest.raises(NotFound) as caught:
            await cloud.undo()
        assert caught.value.code == "not_in_trash"

    use_box(served, work)


def test_labels_and_limits_change(served: Served) -> None:
    async def work(_cloud: Cloud, box: Box) -> None:
        await box.update(limits=wire.Limits(cpus=1.5))
        changed = await box.update(labels=[])
        assert (changed.labels, changed.limits.cpus) == ([], 1.5)
        assert (await box.stop()).status == "cold"
        assert (await box.start()).status == "running"

    use_box(served, work)


def test_images_are_built_saved_and_deleted(served: Served) -> None:
    async def work(cloud: Cloud, box: Box) -> None:
        steps = [each async for each in cloud.build_image("mine", "base")]
        assert steps[-1].type == "complete"
        await box.save_as_image("saved")
        assert {image.name for image in await cloud.images()} == {"base", "mine", "saved"}
        await cloud.delete_image("mine")
        with pytest.raises(NotFound):
            [each async for each in cloud.build_image("x", "no-such-recipe")]

    use_box(served, work)


def test_tokens_open_what_their_scope_says(served: Served) -> None:
    async def as_reader(url: str, token: str) -> None:
        async with skerry.connect(url, token) as cloud:
            assert await cloud.boxes() == []
            with pytest.raises(Denied):
                await cloud.create("dev")

    async def work(cloud: Cloud) -> None:
        made = await cloud.create_token("reader", ["read"])
        await as_reader(served.url, made.token)
        await cloud.revoke_token(made.id)
        with pytest.raises(Unauthorized):
            await as_reader(served.url, made.token)
        assert made.id not in {token.id for token in await cloud.tokens()}

    use(served, work)


def test_a_websocket_needs_a_token_too(served: Served) -> None:
    async def work() -> None:
        async with skerry.connect(served.url, served.tokens["write"]) as cloud:
            box = await cloud.create("dev")
            async with box.stream("echo", "hi") as session:
                assert [each async for each in session] == [("stdout", b"hi\n")]
        async with skerry.connect(served.url, "wrong") as cloud:
            with pytest.raises(Unauthorized):
                async with cloud.box("dev").stream("echo"):
                    raise AssertionError

    asyncio.run(work())


def test_the_server_tells_its_version(served: Served) -> None:
    async def work(cloud: Cloud) -> None:
        assert (await cloud.version()).version == skerry.__version__
        assert (await cloud.doctor()).ok

    use(served, work)


def test_files_are_read(served: Served) -> None:
    async def work(_cloud: Cloud, box: Box) -> None:
        await box.exec("tee", "/etc/note", stdin="0123456789")
        assert await box.files.read_text("/etc/note") == "0123456789"
        assert await box.files.read("/etc/note", start=2, end=5) == b"234"
        assert (await box.files.stat("/etc/note")).size == 10
        assert "note" in {entry.name for entry in await box.files.list("/etc")}
        assert await box.files.exists("/etc/note")
        assert not await box.files.exists("/etc/other")
        with pytest.raises(NotFound):
            await box.files.read("/etc/other")

    use_box(served, work)


def test_many_calls_at_once_share_a_client(served: Served) -> None:
    async def work(_cloud: Cloud, box: Box) -> None:
        results = await asyncio.gather(*(box.exec("echo", f"{n}") for n in range(40)))
        assert [result.stdout for result in results] == [f"{n}\n" for n in range(40)]

    use_box(served, work)


@pytest.mark.parametrize(
    "url", ["localhost:7070", "ftp://x", "http://", "http://a:b@c", "http://x:y"]
)
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        skerry.connect(url)
    assert caught.value.code == "bad_url"


def test_a_bad_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        skerry.connect("http://localhost", "a\r\nHost: evil", data=str(tmp_path))
    assert caught.value.code == "bad_token"
