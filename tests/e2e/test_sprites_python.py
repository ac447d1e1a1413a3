"""The official Sprites SDK for Python, unchanged, against our own machine."""

import io
import threading
from collections.abc import Iterator

import pytest
from sprites import SpritesClient
from sprites.exceptions import ExecError, SpriteError
from sprites.types import NetworkPolicy, PolicyRule, URLSettings

from tests.e2e.conftest import Program


@pytest.fixture
def client(program: Program) -> Iterator[SpritesClient]:
    with SpritesClient(token=program.token, base_url=program.url) as client:
        yield client


def test_create_list_and_destroy(client: SpritesClient) -> None:
    client.create_sprite("py-sdk")
    try:
        assert client.get_sprite("py-sdk").status == "running"
        assert "py-sdk" in {s.name for s in client.list_all_sprites(prefix="py-")}
    finally:
        client.delete_sprite("py-sdk")
    assert "py-sdk" not in {s.name for s in client.list_all_sprites(prefix="py-")}


def test_exec_buffered(client: SpritesClient, box: str) -> None:
    sprite = client.sprite(box)

    assert sprite.command("echo", "hello", "a b").output() == b"hello a b\n"
    with pytest.raises(SpriteError):
        sprite.command("sh", "-c", "exit 3").run()


def test_exec_streaming_both_ways(client: SpritesClient, box: str) -> None:
    command = client.sprite(box).command("sh", "-c", "cat; echo oops >&2")
    command.stdin = io.BytesIO(b"through\n" * 1000)
    command.stdout = out = io.BytesIO()
    command.stderr = err = io.BytesIO()
    command.run()

    assert out.getvalue() == b"through\n" * 1000
    assert err.getvalue() == b"oops\n"


def test_exec_environment_and_directory(client: SpritesClient, box: str) -> None:
    command = client.sprite(box).command("sh", "-c", "echo $A; pwd", env={"A": "1"}, cwd="/tmp")

    assert command.output() == b"1\n/tmp\n"


def test_exec_on_a_terminal(client: SpritesClient, box: str) -> None:
    command = client.sprite(box).command("sh", "-c", "tty; stty size")
    command.set_tty(True)
    command.set_tty_size(30, 100)

    assert b"/dev/pts/" in (output := command.output())
    assert b"30 100" in output


def test_sessions_are_listed_and_attached_to(client: SpritesClient, box: str) -> None:
    sprite = client.sprite(box)
    first = sprite.command("sh", "-c", "echo begun; read line; echo got $line")
    first.set_tty(True)
    first.stdout = io.BytesIO()
    first.stdin = hold = io.BytesIO()
    running = threading.Thread(target=first.run)
    running.start()
    try:
        while not (sessions := sprite.list_sessions()):
            pass
        again = sprite.attach_session(sessions[0].id)
        again.stdin = io.BytesIO(b"word\n")
        output = again.output()
    finally:
        running.join(30)
        hold.close()

    assert b"begun" in output
    assert b"got word" in output


def test_files(client: SpritesClient, box: str) -> None:
    fs = client.sprite(box).filesystem("/home/box")
    (fs / "deep" / "file.txt").write_text("content")
    (fs / "deep" / "file.txt").chmod(0o640)
    (fs / "deep" / "file.txt").copy_to(fs / "copy.txt")
    (fs / "copy.txt").rename(fs / "moved.txt")

    assert (fs / "moved.txt").read_text() == "content"
    assert (fs / "deep" / "file.txt").stat().size == 7
    assert [p.name for p in (fs / "deep").iterdir()] == ["file.txt"]
    (fs / "moved.txt").unlink()
    assert not (fs / "moved.txt").exists()
    with pytest.raises(Exception, match="nothing"):
        (fs / "nothing").read_text()


def test_checkpoints_and_restore(client: SpritesClient, box: str) -> None:
    sprite = client.sprite(box)
    sprite.command("sh", "-c", "echo one > /home/box/f").run()
    assert [m.type for m in sprite.create_checkpoint("first")][-1] == "complete"
    sprite.command("sh", "-c", "echo two > /home/box/f").run()
    (checkpoint,) = sprite.list_checkpoints()
    assert (checkpoint.id, checkpoint.comment) == ("v1", "first")

    assert [m.type for m in sprite.restore_checkpoint("v1")][-1] == "complete"

    assert sprite.command("cat", "/home/box/f").output() == b"one\n"


def test_services(client: SpritesClient, box: str) -> None:
    sprite = client.sprite(box)
    script = "echo begun; trap 'echo asked; exit' HUP; while :; do sleep 0.1; done"
    events = list(sprite.create_service("web", "sh", args=["-c", script], duration=1))
    assert {"started", "stdout", "complete"} <= {event.type for event in events}
    assert any("begun" in (event.data or "") for event in events)
    assert [s.name for s in sprite.list_services()] == ["web"]
    assert sprite.get_service("web").state.status == "running"

    sprite.signal_service("web", "HUP")
    while sprite.get_service("web").state.restart_count == 0:
        pass
    list(sprite.stop_service("web", timeout=5))
    assert sprite.get_service("web").state.status == "stopped"
    list(sprite.start_service("web", duration=0.2))
    sprite.delete_service("web")
    assert sprite.list_services() == []


def test_network_policy(client: SpritesClient, box: str) -> None:
    sprite = client.sprite(box)
    rules = [
        PolicyRule(include="defaults"),
        PolicyRule(domain="*.example.org", action="allow"),
        PolicyRule(domain="*", action="deny"),
    ]
    sprite.update_network_policy(NetworkPolicy(rules=rules))
    assert sprite.get_network_policy().rules == rules
    with pytest.raises(ExecError):
        sprite.command("getent", "hosts", "denied.example.com").run()

    sprite.update_network_policy(NetworkPolicy(rules=[]))
    assert sprite.get_network_policy().rules == []


def test_url_settings(client: SpritesClient, program: Program) -> None:
    client.create_sprite("py-url", url_settings=URLSettings(auth="public"))
    try:
        sprite = client.get_sprite("py-url")
        assert sprite.url == f"http://py-url.localhost:{program.web_port}"
        assert sprite.url_settings is not None
        assert sprite.url_settings.auth == "public"
        sprite.update_url_settings(URLSettings(auth="sprite", private_access="admins"))
        assert client.get_sprite("py-url").url_settings.auth == "sprite"
    finally:
        client.delete_sprite("py-url")
