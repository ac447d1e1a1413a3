"""A data set comes whole from a server that breaks off, once for all who want it, and never elsewhere."""

import hashlib
import multiprocessing
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from skerry_train.data import fetch, place
from skerry_train.errors import BadData, BadSettings, NotReachable

TRAIN, VALIDATION = bytes(range(256)) * 40_000, b"validation"


class Server(ThreadingHTTPServer):
    """Has a data set `me/set`; sends no more than so many bytes of a file at a time."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"train.safetensors": TRAIN, "validation.safetensors": VALIDATION}
        self.most = len(TRAIN)
        self.knows_ranges = True
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        data = self.server.files.get(self.path.removeprefix("/me/set/"))
        if data is None:
            self.send_error(404)
            return
        range_ = self.headers.get("Range") if self.server.knows_ranges else None
        begin = int(range_.removeprefix("bytes=").rstrip("-")) if range_ else 0
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        self.wfile.write(data[begin : begin + self.server.most])

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def bring(server: Server, datasets: Path) -> Path:
    return fetch(datasets, "me/set", server.address, lambda *_: None)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.name != ".lock")


def test_a_data_set_comes_from_a_server(tmp_path: Path, server: Server) -> None:
    folder = bring(server, tmp_path)

    assert folder == tmp_path / "me" / "set"
    assert (folder / "train.safetensors").read_bytes() == TRAIN
    assert names(folder) == ["train.safetensors", "validation.safetensors"]


@pytest.mark.parametrize("tries", [1, 3])
def test_what_broke_off_is_gone_on_with(tmp_path: Path, server: Server, tries: int) -> None:
    server.most = len(TRAIN) // 11
    for _ in range(tries - 1):
        with pytest.raises(NotReachable, match="breaks off"):
            bring(server, tmp_path)
    server.most = len(TRAIN) // (3 if tries == 1 else 11)

    folder = bring(server, tmp_path)

    assert (folder / "train.safetensors").read_bytes() == TRAIN


def test_a_server_without_ranges_sends_all_again(tmp_path: Path, server: Server) -> None:
    server.most = 1000
    with pytest.raises(NotReachable):
        bring(server, tmp_path)
    server.most, server.knows_ranges = len(TRAIN), False

    assert (bring(server, tmp_path) / "train.safetensors").read_bytes() == TRAIN


def test_what_was_whole_but_had_no_name_yet_is_taken(tmp_path: Path, server: Server) -> None:
    folder = tmp_path / "me" / "set"
    folder.mkdir(parents=True)
    (folder / ".train.safetensors.part").write_bytes(TRAIN)

    assert (bring(server, tmp_path) / "train.safetensors").read_bytes() == TRAIN


def test_sums_are_checked(tmp_path: Path, server: Server) -> None:
    right = hashlib.sha256(TRAIN).hexdigest()
    for found, fits in (("0" * 64, False), (right, True)):
        server.files["SHA256SUMS"] = f"{found}  train.safetensors\n".encode()
        if fits:
            bring(server, tmp_path)
        else:
            with pytest.raises(BadData, match="is not what its SHA256SUMS says"):
                bring(server, tmp_path)


def test_what_is_there_is_taken_as_it_is(tmp_path: Path, server: Server) -> None:
    bring(server, tmp_path)
    server.asked.clear()

    bring(server, tmp_path)

    assert server.asked == []


def test_of_several_processes_one_brings_it(tmp_path: Path, server: Server) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=bring, args=(server, tmp_path)) for _ in range(3)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()

    assert [each.exitcode for each in workers] == [0, 0, 0]
    assert server.asked.count("/me/set/train.safetensors") == 1


@pytest.mark.parametrize("name", ["../x", "/etc", "a/../../b", ".", "", ".hidden", "a/.git"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadSettings, match="no name of a data set"):
        place(tmp_path, name)


def test_what_does_not_answer_is_told(tmp_path: Path, server: Server) -> None:
    del server.files["train.safetensors"]
    with pytest.raises(NotReachable, match="answers 404"):
        bring(server, tmp_path)
    with pytest.raises(BadSettings, match="no web address"):
        fetch(tmp_path, "x", "file:///etc", lambda *_: None)
    with pytest.raises(NotReachable, match="does not answer"):
        fetch(tmp_path, "x", "http://127.0.0.1:1", lambda *_: None)
