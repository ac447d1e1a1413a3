import threading

import pytest

import skerry
from skerry import SyncCloud
from skerry.base import NotFound
from skerry.client import Cloud as AsyncCloud
from skerry.client import CommandTimedOut
from skerry.client.box import Box
from skerry.client.files import Files
from skerry.client.forward import Forward
from skerry.client.services import Services
from skerry.client.session import Session
from skerry.client.sync import SyncBox, SyncFiles, SyncForward, SyncServices, SyncSession
from tests.client.conftest import Served


def connect(served: Served) -> SyncCloud:
    return skerry.connect_sync(data=str(served.socket_path.parent))


def test_a_box_is_used_without_await(served: Served) -> None:
    with connect(served) as cloud:
        box = cloud.create("dev")

        assert box.exec("echo", "hi").stdout == "hi\n"
        assert box.fork("other").exec("echo", "there").stdout == "there\n"
        assert [each.name for each in cloud.boxes()] == ["dev", "other"]
        assert box.files.exists("/etc")


def test_errors_are_the_same(served: Served) -> None:
    with connect(served) as cloud, pytest.raises(NotFound):
        cloud.get("nope")


def test_a_session_is_read_and_written(served: Served) -> None:
    with connect(served) as cloud, cloud.create("dev").open("cat") as session:
        session.write(b"some")
        session.write_eof()

        assert list(session) == [("stdout", b"some")]
        assert session.exit_code == 0


def test_leaving_a_session_by_an_error_ends_it(served: Served) -> None:
    with connect(served) as cloud:
        box = cloud.create("dev")
        with pytest.raises(ZeroDivisionError), box.open("sleep", "100"):
            raise ZeroDivisionError

        assert [each.is_active for each in box.sessions()] == [False]


def test_a_time_out_inside_a_block_is_told(served: Served) -> None:
    with connect(served) as cloud:
        box = cloud.create("dev")
        with pytest.raises(CommandTimedOut), box.stream("sleep", "100", timeout=0.1) as session:
            session.wait()


def test_progress_is_iterated(served: Served) -> None:
    with connect(served) as cloud:
        assert [step.type for step in cloud.build_image("mine", "base")][-1] == "complete"


def test_a_file_is_read_in_pieces(served: Served) -> None:
    with connect(served) as cloud:
        box = cloud.create("dev")
        box.exec("tee", "/etc/note", stdin="text")
        with box.files.open("/etc/note") as pieces:
            assert b"".join(pieces) == b"text"


def test_a_closed_client_says_so(served: Served) -> None:
    cloud = connect(served)
    cloud.close()

    with pytest.raises(RuntimeError, match="closed"):
        cloud.boxes()


def test_closing_ends_the_thread(served: Served) -> None:
    before = threading.active_count()
    with connect(served) as cloud:
        cloud.version()

    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("face", "real"),
    [
        (SyncCloud, AsyncCloud),
        (SyncBox, Box),
        (SyncFiles, Files),
        (SyncSession, Session),
        (SyncServices, Services),
        (SyncForward, Forward),
    ],
)
def test_the_two_faces_have_the_same_names(face: type, real: type) -> None:
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    beneath = {"calls", "listing", "detached"}
    own = {"portal", "real", "close", "id", "exit_code", "name", "details", "files", "services"}

    assert public(real) - beneath - public(face) == set()
    assert public(face) - own - public(real) == set()
