"""`skerry bucket`, `object`, `remote` and `clean`, against a store of ours."""

import io
import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skerry.cli import main
from skerry.remotes.b2_shelf import B2
from skerry.remotes.model import Remote
from skerry.remotes.s3 import connect
from tests.remotes.place import SECRET, Shore, shore
from tests.remotes.wards import b2_ward


class Line:
    """Runs the command line in this process, with a store in its environment."""

    def __init__(self, store: Shore, capfd: pytest.CaptureFixture[str]) -> None:
        self.store = store
        self._capfd = capfd
        self.err = ""

    def __call__(self, *words: str) -> tuple[int, str]:
        code = main(words)
        out, self.err = self._capfd.readouterr()
        return code, out

    def ok(self, *words: str) -> str:
        code, out = self(*words)
        assert code == 0, self.err
        return out

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))


@pytest.fixture
def line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Line]:
    with shore(tmp_path / "store") as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.chdir(tmp_path)
        capfd.readouterr()
        yield Line(store, capfd)


def test_buckets_are_made_told_and_deleted(line: Line) -> None:
    line.ok("bucket", "create", "one", "two", "--versioning")
    line.ok("bucket", "versioning", "two", "off")

    assert [each["name"] for each in line.json("bucket", "list")] == ["one", "two"]
    assert line.ok("bucket", "versioning", "one") == "on\n"
    assert line.json("bucket", "info", "two")["versioning"] == "off"
    line.store.put("k", bucket="one")
    assert line("bucket", "delete", "one")[0] == 1
    assert "not empty" in line.err
    line.ok("bucket", "delete", "one", "two", "--force", "--yes")
    assert line.ok("bucket", "list") == ""


def test_documents_are_sent_and_told_as_they_are(line: Line, tmp_path: Path) -> None:
    line.store.bucket()
    (tmp_path / "p").write_text("{")

    assert line("bucket", "policy", "bkt")[0] == 1
    assert "has no policy" in line.err
    assert line("bucket", "policy", "bkt", "p")[0] == 1
    assert "no JSON" in line.err
    assert line("bucket", "lifecycle", "bkt", "p")[0] == 1
    assert "no XML" in line.err


def test_a_bucket_holds_no_more_than_its_quota(line: Line, tmp_path: Path) -> None:
    line.store.bucket()
    (tmp_path / "a").write_bytes(bytes(2000))
    assert line.json("bucket", "quota", "bkt") == {}
    line.ok("bucket", "quota", "bkt", "--bytes", "1K", "--objects", "3")

    assert line.json("bucket", "quota", "bkt")["Bytes"] == 1024
    assert line("object", "cp", "a", ":bkt")[0] == 1
    assert "quota" in line.err
    line.ok("bucket", "quota", "bkt", "--delete")
    line.ok("object", "cp", "a", ":bkt")
    assert line("bucket", "quota", "bkt", "--delete", "--bytes", "1K")[0] == 2


def test_one_file_goes_there_and_back(line: Line, tmp_path: Path) -> None:
    line.store.bucket()
    (tmp_path / "a.txt").write_text("hello")
    line.ok("object", "cp", "a.txt", ":bkt/d/")
    line.ok("object", "cp", "s3://bkt/d/a.txt", "b.txt")

    assert (tmp_path / "b.txt").read_text() == "hello"
    assert line.ok("object", "cat", "bkt/d/a.txt") == "hello"
    assert line.ok("object", "cp", ":bkt/d/a.txt", "-") == "hello"
    assert line.json("object", "info", "bkt/d/a.txt")["ContentType"] == "text/plain"
    with urllib.request.urlopen(line.ok("object", "presign", "bkt/d/a.txt").strip()) as answer:
        assert answer.read() == b"hello"
    assert line("object", "cp", "a.txt", "b.txt")[0] == 2
    assert line("object", "cp", "store", ":bkt")[0] == 2
    assert line("object", "cat", "bkt/nix")[0] == 1
    assert "bkt/nix" in line.err


def test_trees_are_copied_listed_synced_and_deleted(line: Line, tmp_path: Path) -> None:
    line.store.bucket()
    (tmp_path / "t" / "d").mkdir(parents=True)
    for name in ("a", "d/b"):
        (tmp_path / "t" / name).write_text(name)
    assert line.json("object", "cp", "-r", "t", ":bkt/x")["files"] == 2

    assert "folder" in line.ok("object", "ls", "bkt/x/")
    assert [each["name"] for each in line.json("object", "ls", "-r", "bkt")] == ["x/a", "x/d/b"]
    (tmp_path / "t" / "a").unlink()
    planned = line.ok("object", "sync", "--delete", "--dry-run", "t", ":bkt/x")
    assert planned == "would delete  a\n"
    assert line.json("object", "sync", "--delete", "t", ":bkt/x")["deleted"] == 1
    assert line.store.keys() == ["x/d/b"]
    line.ok("object", "rm", "-r", "--yes", "bkt/x")
    assert line.store.keys() == []


def test_a_copy_into_itself_is_refused(line: Line) -> None:
    line.store.bucket()
    for source, target in ((":bkt/a", ":bkt/a/b"), (":bkt/a/b/", ":bkt/a"), (":bkt", ":bkt/x")):
        assert line("object", "sync", source, target)[0] == 2
        assert line("object", "cp", "-r", source, target)[0] == 2
    line.ok("object", "sync", ":bkt/a", ":bkt/ab")


def test_nobody_is_asked_where_nobody_is(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line.store.bucket()
    line.store.put("a/b")
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    for words in (("object", "rm", "-r", "bkt/a"), ("bucket", "delete", "--force", "bkt")):
        assert line(*words)[0] == 1
        assert "--yes" in line.err
    assert line.store.keys() == ["a/b"]


def test_a_remote_has_a_name_and_its_secret_is_not_told(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.store.bucket()
    url = line.store.remote.endpoint
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{SECRET}\n"))
    line.ok(
        "remote", "add", "here", "--endpoint", url, "--access-key", "tester", "--secret-from-stdin"
    )
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    assert [each["name"] for each in line.json("bucket", "list", "here")] == ["bkt"]
    line.ok("object", "ls", "here:bkt")
    assert SECRET not in line.ok("remote", "list", "--json") + line.ok("remote", "list")
    line.ok("remote", "remove", "here")
    assert line("object", "ls", "here:bkt")[0] == 1
    assert "no remote here" in line.err


def test_a_store_that_cannot_be_reached_is_told(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("skerry.remotes.s3._ATTEMPTS", 1)

    assert line("bucket", "list")[0] == 1
    assert "http://127.0.0.1:1" in line.err


def test_a_clean_tells_what_it_saves_and_then_deletes(line: Line) -> None:
    line.store.bucket(versions=True)
    for data in (b"x" * 1_000_000, b"y"):
        line.store.put("a", data)
    line.store.client.create_multipart_upload(Bucket="bkt", Key="b")
    words = ("clean", ":bkt", "--price-per-gb-month", "6")
    line.ok(*words, "--dry-run")
    assert "1 hidden versions, 0 delete markers and 0 unfinished uploads, 977 KiB" in line.err
    assert "$0.0060 a month; 1 uploads are younger and stay" in line.err

    (told,) = line.json(*words, "--yes")

    assert (told["deleted"]["versions"], told["deleted"]["young"]) == (1, 1)
    assert told["saves_nanodollars_per_month"] == 6_000_000
    assert line.json("clean", ":", "--older-than", "0", "--yes")[0]["deleted"]["uploads"] == 1
    line.ok("clean", ":bkt", "--yes")
    assert "nothing to delete" in line.err
    assert line.store.get("a") == b"y"


def test_a_bucket_of_b2_is_cleaned_by_its_own_api(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward = b2_ward()
    for data in (b"1", b"2"):
        ward.put("a", data)

    def simulated(_: Remote) -> B2:
        return ward.api

    monkeypatch.setattr("skerry.cli.clean.connect_b2", simulated)
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    line.ok("remote", "add", "b2", "--b2", "--access-key", "k", "--secret-from-stdin")

    (told,) = line.json("clean", "b2", "--yes")
    assert (told["bucket"], told["deleted"]["versions"]) == ("bkt", 1)
    assert line("object", "ls", "b2:bkt")[0] == 1
    assert "only `skerry clean`" in line.err


def test_numbers_that_are_none_are_refused(line: Line) -> None:
    for words in (
        ("--keep", "-1"), ("--rate", "0"), ("--older-than", "soon"), ("--rate", "nan"),
    ):  # fmt: skip
        assert line("clean", ":bkt", *words)[0] == 2
    assert line("clean", ":bkt", "--price-per-gb-month", "x")[0] == 1
    assert line("object", "presign", "bkt/k", "--expires", "8d")[0] == 2


OWN = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::bkt/ann/*"}],
})  # fmt: skip


def test_a_key_may_do_what_its_policy_says(line: Line, tmp_path: Path) -> None:
    line.store.bucket()
    (tmp_path / "own.json").write_text(OWN)
    made = line.json("access-key", "create", "ann", "--policy", "own.json")
    ann = connect(
        Remote(
            endpoint=line.store.remote.endpoint,
            access_key=made["access_key"],
            secret=made["secret"],
        )
    )
    ann.put_object(Bucket="bkt", Key="ann/k", Body=b"")
    with pytest.raises(Exception, match="AccessDenied"):
        ann.put_object(Bucket="bkt", Key="other", Body=b"")
    line.ok("access-key", "disable", made["access_key"])
    with pytest.raises(Exception, match=r"InvalidAccessKeyId|AccessDenied"):
        ann.put_object(Bucket="bkt", Key="ann/k", Body=b"")
    line.ok("access-key", "enable", made["access_key"])
    ann.put_object(Bucket="bkt", Key="ann/k", Body=b"")
    ann.close()


def test_keys_and_users_are_listed_and_deleted(line: Line, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(OWN)
    assert "AWS_SECRET_ACCESS_KEY=" in line.ok("access-key", "create", "ann")
    other = line.json("access-key", "create", "ann")["access_key"]
    line.ok("access-key", "policy", "ann", "own.json")

    assert line.json("access-key", "policy", "ann") == json.loads(OWN)
    line.ok("access-key", "delete", other)
    (left,) = line.json("access-key", "list")
    assert (left["user"], left["state"]) == ("ann", "active")
    assert line("access-key", "delete", other)[0] == 1
    line.ok("access-key", "remove-user", "ann")
    assert line.ok("access-key", "list") == ""


def test_a_bucket_has_a_policy(line: Line, tmp_path: Path) -> None:
    line.store.bucket()
    policy = OWN.replace('"Effect"', '"Principal": "*", "Effect"')
    (tmp_path / "policy").write_text(policy)
    line.ok("bucket", "policy", "bkt", "policy")

    assert json.loads(line.ok("bucket", "policy", "bkt")) == json.loads(policy)
    assert line.json("bucket", "info", "bkt")["policy"] == "set"
    line.ok("bucket", "policy", "bkt", "--delete")
    assert line.json("bucket", "info", "bkt")["policy"] == "-"
