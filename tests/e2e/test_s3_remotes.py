"""`skerry bucket`, `object` and `clean`, as installed, against `skerry s3`."""

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import SKERRY
from tests.e2e.test_s3 import ACCESS, BIG, SECRET, Store, bucket, same, store, tree

__all__ = ["bucket", "store", "tree"]


def environment(store: Store, home: Path) -> dict[str, str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MINIO_", "S3_"))}
    return {
        **plain, "HOME": str(home), "AWS_ENDPOINT_URL": store.url, "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }  # fmt: skip


@pytest.fixture
def ours(store: Store, tmp_path: Path) -> Any:
    """Run the command line, which must succeed; return what it printed."""

    def run(*words: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            [SKERRY, *words], env=environment(store, tmp_path), cwd=tmp_path, input=stdin,
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    return run


def test_objects_are_copied_and_synced(store: Store, ours: Any, tree: Path, tmp_path: Path) -> None:
    ours("bucket", "create", "ours")
    ours("object", "sync", str(tree), ":ours/t")
    ours("object", "cp", "s3://ours/t/deep/big", ":ours/t/copy")
    ours("object", "sync", ":ours/t", "back")
    ours("object", "cp", "-", ":ours/piped", stdin=BIG)

    same(tree, tmp_path / "back")
    assert ours("object", "cat", "ours/t/copy") == BIG
    assert ours("object", "cat", "ours/piped") == BIG
    done = json.loads(ours("object", "sync", "--json", "--delete", str(tree), ":ours/t"))
    assert (done["files"], done["deleted"]) == (0, 1)
    ours("bucket", "delete", "ours", "--force", "--yes")


def test_progress_is_told_at_a_terminal(store: Store, bucket: str, tree: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [SKERRY, "object", "sync", str(tree), f":{bucket}"], env=environment(store, tree),
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        while data := os.read(ours, 4096):
            said += data
    except OSError:
        pass  # a terminal that nobody has open any more
    finally:
        os.close(ours)

    assert process.wait(timeout=60) == 0
    assert b"MiB  :" + bucket.encode() in said
    assert b"Copied 2 files, 20.0 MiB." in said


class Narrow:
    """A way to the store that lets 4 MiB through, and the rest when it is told to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._left = 4 << 20
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends = [self._listener]
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.full, self.released = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in self._ends:
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self._store.port))
                self._ends += [near, far]
                threading.Thread(target=self._up, args=(near, far), daemon=True).start()
                threading.Thread(target=self._down, args=(far, near), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                self._left -= len(data)
                if self._left < 0:
                    self.full.set()
                    self.released.wait(60)
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)

    def _down(self, far: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                near.sendall(data)
            near.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_upload_that_is_interrupted_is_given_up_at_the_store(
    store: Store, bucket: str, tree: Path, tmp_path: Path, number: signal.Signals
) -> None:
    narrow = Narrow(store)
    process = subprocess.Popen(
        [SKERRY, "object", "cp", str(tree / "deep" / "big"), f":{bucket}/k"],
        env={**environment(store, tmp_path), "AWS_ENDPOINT_URL": narrow.url},
        stderr=subprocess.PIPE,
    )
    assert narrow.full.wait(60)
    process.send_signal(number)
    narrow.released.set()
    _, said = process.communicate(timeout=60)
    narrow.close()

    assert (process.returncode, said) == (128 + number, b"")
    assert "Uploads" not in store.client().list_multipart_uploads(Bucket=bucket)
    assert "Contents" not in store.client().list_objects_v2(Bucket=bucket)


def test_a_clean_that_is_killed_is_begun_again(
    store: Store, ours: Any, bucket: str, tmp_path: Path
) -> None:
    s3 = store.client()
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(300):
        s3.put_object(Bucket=bucket, Key=f"k{number % 5}", Body=b"%d" % number)
    s3.delete_object(Bucket=bucket, Key="k0")
    words = [SKERRY, "clean", f":{bucket}", "--yes", "--rate", "2"]
    process = subprocess.Popen(words, env=environment(store, tmp_path), stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"296 hidden versions, 1 delete markers" in process.stderr.readline()
    process.kill()
    process.communicate(timeout=60)

    (told,) = json.loads(ours("clean", f":{bucket}", "--yes", "--json"))
    left = s3.list_object_versions(Bucket=bucket)
    assert [each["Key"] for each in left["Versions"]] == ["k1", "k2", "k3", "k4"]
    assert "DeleteMarkers" not in left
    assert told["deleted"]["refused"] == 0
