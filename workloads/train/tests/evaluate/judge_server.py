"""A judge for tests: an HTTP server that answers chat completions as a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, bytes] | tuple[int, bytes, dict[str, str]] | None
"""Status, body, and perhaps headers; None hangs up."""


def said(text: str) -> Answer:
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    body = {"choices": [{"message": {"content": text}}], "usage": usage}
    return 200, json.dumps(body).encode()


def shown(request: dict[str, Any]) -> list[str]:
    """Return the answers in a question, in the order in which it shows them."""
    return list(_parts(request)[1].values())


def exercise(request: dict[str, Any]) -> str:
    return _parts(request)[0]["instruction"]


def _parts(request: dict[str, Any]) -> list[dict[str, Any]]:
    text = request["messages"][1]["content"]
    decoder, parts = json.JSONDecoder(), []
    for heading in ("Exercise:\n", "Answers by model:\n"):
        parts.append(decoder.raw_decode(text, text.index(heading) + len(heading))[0])
    return parts


def fair(request: dict[str, Any]) -> Answer:
    """Score an answer `... worth 30` with 30, whoever gave it."""
    worth = [int(text.rsplit(" ", 1)[1]) for text in shown(request)]
    verdicts = {
        str(place): {"comment": f"worth {score}", "score": score}
        for place, score in enumerate(worth, start=1)
    }
    return said(f"Here it is:\n```json\n{json.dumps(verdicts)}\n```")


class Judge:
    """What was asked so far, with headers, and where."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.at_once_max = 0
        self.at_once = 0
        self.lock = threading.Lock()


@contextmanager
def judge_server(decide: Callable[[dict[str, Any], int], Answer]) -> Generator[Judge]:
    """Serve until the end of the block. decide: takes a request and how many came before it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with judge.lock:
                count = len(judge.asked)
                judge.asked.append({**request, "path": self.path})
                judge.headers.append({name.lower(): value for name, value in self.headers.items()})
                judge.at_once += 1
                judge.at_once_max = max(judge.at_once_max, judge.at_once)
            answer = decide(request, count)
            with judge.lock:
                judge.at_once -= 1
            if answer is None:
                return
            status, body, headers = answer if len(answer) == 3 else (*answer, {})
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        judge = Judge(f"http://127.0.0.1:{server.server_port}/v1")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield judge
        finally:
            server.shutdown()
            thread.join()
