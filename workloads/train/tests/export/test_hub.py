"""An upload speaks as the hub's own library does, and is refused in time where it can not."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from skerry_train.errors import BadSettings
from skerry_train.export import check_upload
from tests.evaluate.runs import make_run


@contextmanager
def hub_server(refuses: bool = False) -> Generator[tuple[str, list[tuple[str, str, bytes]]]]:  # noqa: FBT001, FBT002
    """Serve a hub that takes everything, or nothing. Yields its URL, and (path, key, body) of requests."""
    asked: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers.get("Authorization", ""), body))
            answer: dict[str, Any] = {
                "url": f"{url}/me/small",
                "commitUrl": f"{url}/me/small/commit/1",
            }
            if "/preupload/" in self.path:
                files = json.loads(body)["files"]
                answer = {
                    "files": [
                        {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                        for each in files
                    ]
                }
            data = json.dumps(answer | {"commitOid": "1", "success": True}).encode()
            self.send_response(403 if refuses else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield url, asked
        finally:
            server.shutdown()
            thread.join()


def export(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Export and upload in a process of its own: the hub's library reads its environment once."""
    make_run(folder)
    words = ["export", "small", "made", "--upload", "me/small", "--private"]
    env = {
        "HF_ENDPOINT": url,
        "HF_TOKEN": "hf_secret",
        "HF_HOME": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "skerry_train", *words],
        cwd=folder, env=os.environ | env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_folder_is_uploaded_in_one_commit(tmp_path: Path) -> None:
    with hub_server() as (url, asked):
        done = export(tmp_path, url)

    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [f"{url}/me/small"]), done.stderr
    created = json.loads(next(body for path, _, body in asked if path == "/api/repos/create"))
    assert (created["name"], created["visibility"]) == ("small", "private")
    commit = next(body for path, _, body in asked if "/commit/" in path)
    sent = {json.loads(line)["value"].get("path") for line in commit.splitlines()} - {None}
    assert sent == {each.name for each in (tmp_path / "made").iterdir()}


def test_a_hub_that_refuses_is_told_and_the_folder_stays(tmp_path: Path) -> None:
    with hub_server(refuses=True) as (url, _):
        done = export(tmp_path, url)

    assert done.returncode == 9
    assert "the hub did not take me/small" in done.stderr
    assert "hf_secret" not in done.stderr
    assert (tmp_path / "made" / "model.safetensors").exists()


@pytest.mark.parametrize("name", ["model", "a/b/c", "../x", "a/", "a b/c"])
def test_what_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(BadSettings, match="OWNER/NAME"):
        check_upload(name)


def test_an_upload_without_a_token_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))

    with pytest.raises(BadSettings, match="HF_TOKEN"):
        check_upload("me/small")
