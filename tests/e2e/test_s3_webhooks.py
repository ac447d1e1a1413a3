"""Webhooks of `skerry s3`: what was done is told, although the server is killed before it could tell."""

import json
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.test_s3 import ACCESS, SECRET, Store


class Ear(ThreadingHTTPServer):
    """A webhook. It refuses everything until it listens."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.refused = threading.Event()
        self.listens = False
        super().__init__(("127.0.0.1", 0), Mouth)


class Mouth(BaseHTTPRequestHandler):
    server: Ear

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for record in said["Records"]:
            if self.server.listens:
                self.server.heard.append(f"{record['eventName']} {record['s3']['object']['key']}")
        self.send_response(204 if self.server.listens else 503)
        self.end_headers()
        self.server.refused.set()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def ear() -> Iterator[Ear]:
    with Ear() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_what_was_done_is_told_after_a_kill(tmp_path: Path, ear: Ear) -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "SKERRY_BUCKETS": "data",
        "SKERRY_WEBHOOK_EAR": f"http://127.0.0.1:{ear.server_address[1]}/",
    }  # fmt: skip
    wanted = {"QueueArn": "arn:skerry:sqs::ear:webhook", "Events": ["s3:Object*"]}
    store = Store(tmp_path)
    store.start(**environment)
    s3 = store.client()
    s3.put_bucket_notification_configuration(
        Bucket="data", NotificationConfiguration={"QueueConfigurations": [wanted]}
    )
    for number in range(20):
        s3.put_object(Bucket="data", Key=f"k{number}", Body=b"x")
    s3.copy_object(Bucket="data", Key="copy", CopySource="data/k0")
    s3.delete_object(Bucket="data", Key="k0")
    assert ear.refused.wait(30)
    store.end(signal.SIGKILL)
    ear.listens = True
    store.start(**environment)
    expected = [f"ObjectCreated:Put k{number}" for number in range(20)]
    expected += ["ObjectCreated:Copy copy", "ObjectRemoved:Delete k0"]
    while len(ear.heard) < len(expected):
        pass

    assert ear.heard == expected
    assert store.end() == 0
