"""Files over the API: contents in parts, and what the SDKs look at."""

import json
import os
from pathlib import Path

import pytest

from skerry.api import routing
from tests.api.site import Answer, Site, parsed, tell

FS = "/v1/sprites/dev/fs"
BIG = bytes(range(250)) * 4000


def short(value: object) -> str:
    """Return what stands for a value in a test's name."""
    return str(value)[:40]


def with_files(site: Site) -> None:
    (site.machine.disk / "f").write_bytes(b"0123456789")
    (site.machine.disk / "big").write_bytes(BIG)
    (site.machine.disk / "d").mkdir()
    (site.machine.disk / "d" / "x").write_bytes(b"x")
    (site.machine.disk / "d" / "out").symlink_to("/../../../../../etc/hostname")


@pytest.mark.parametrize(
    ("query", "requested", "status", "body", "content_range"),
    [
        ("path=/f", None, 200, b"0123456789", None),
        ("path=f&workingDir=/", None, 200, b"0123456789", None),
        ("path=x&workingDir=/d", None, 200, b"x", None),
        ("path=/f&start=2", None, 206, b"23456789", "bytes 2-9/10"),
        ("path=/f&start=2&end=5", None, 206, b"234", "bytes 2-4/10"),
        ("path=/f&end=5", None, 206, b"01234", "bytes 0-4/10"),
        ("path=/f&start=10", None, 206, b"", None),
        ("path=/f", "bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("path=/f", "bytes=8-", 206, b"89", "bytes 8-9/10"),
        ("path=/f", "bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("path=/f", "bytes=-30", 200, b"0123456789", None),
        ("path=/f", "bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("path=/f", "bytes=4-2", 200, b"0123456789", None),
        ("path=/f", "bytes=1-2,4-5", 200, b"0123456789", None),
        ("path=/big", "bytes=999990-", 206, BIG[-10:], "bytes 999990-999999/1000000"),
        ("path=/big", None, 200, BIG, None),
    ],
    ids=short,
)
def test_a_file_is_read_whole_or_in_part(
    tmp_path: Path, query: str, requested: str | None, status: int, body: bytes,
    content_range: str | None,
) -> None:  # fmt: skip
    async def story(site: Site) -> None:
        with_files(site)
        headers = {"Range": requested} if requested else {}
        answer = await site.call("GET", f"{FS}/read?{query}", headers=headers, scope="read")

        assert (answer.status, answer.body) == (status, body)
        assert answer.headers.get("content-range") == content_range
        assert answer.headers["content-length"] == str(len(body))

    tell(tmp_path, story)


def test_head_tells_the_size_and_sends_nothing(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        with_files(site)
        answer = await site.call("HEAD", f"{FS}/read?path=/big")

        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == "1000000"

    tell(tmp_path, story)


@pytest.mark.parametrize("range_", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_part_that_is_not_there_is_refused_with_the_size(tmp_path: Path, range_: str) -> None:
    async def story(site: Site) -> None:
        with_files(site)
        answer = await site.call("GET", f"{FS}/read?path=/f", headers={"Range": range_})

        assert (answer.status, answer.json()["error"]) == (416, "bad_range")
        assert answer.headers["content-range"] == "bytes */10"

    tell(tmp_path, story)


def test_a_link_out_of_the_box_leads_to_the_boxs_own_file(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        with_files(site)
        assert (await site.call("GET", f"{FS}/read?path=/d/out")).status == 404

        (site.machine.disk / "etc").mkdir()
        (site.machine.disk / "etc" / "hostname").write_text("the box's")
        answer = await site.call("GET", f"{FS}/read?path=/d/../../../d/out")

        assert answer.body == b"the box's"

    tell(tmp_path, story)


def test_a_file_is_written_and_its_directories_made(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        path = f"{FS}/write?path=a/b/c&workingDir=/&mkdirParents=true&mode=0600&asRoot=true"
        answer = await site.call("PUT", path, BIG)

        assert answer.json() == {"path": "/a/b/c", "size": len(BIG), "mode": "0600"}
        assert (site.machine.disk / "a" / "b" / "c").read_bytes() == BIG

    tell(tmp_path, story)


@pytest.mark.parametrize("length", ["announced", "unknown"])
def test_a_file_that_is_too_large_is_not_written_at_all(tmp_path: Path, length: str) -> None:
    async def story(site: Site) -> None:
        with_files(site)
        before = sorted(site.machine.disk.iterdir())
        size = (4 << 20) + 1
        path = f"{FS}/write?path=/f&asRoot=true"
        if length == "announced":
            answer = await site.call("PUT", path, b"x" * size)
        else:
            headers = {"Transfer-Encoding": "chunked"}
            body = b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n"
            answer = await without_length(site, path, headers, body)

        assert (answer.status, answer.json()["error"]) == (413, "body_too_large")
        assert sorted(site.machine.disk.iterdir()) == before
        assert (site.machine.disk / "f").read_bytes() == b"0123456789"

    tell(tmp_path, story)


async def without_length(site: Site, path: str, headers: dict[str, str], body: bytes) -> Answer:
    lines = [f"PUT {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"Authorization: Bearer {site.tokens['write']}"]
    lines += [f"{k}: {v}" for k, v in headers.items()]
    return parsed(await site.raw(("\r\n".join(lines) + "\r\n\r\n").encode() + body))


def test_a_body_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "_BODY_WAIT_S", 0.01)

    async def story(site: Site) -> None:
        answer = await without_length(
            site, f"{FS}/write?path=/f&asRoot=true", {"Content-Length": "10"}, b"half"
        )

        assert (answer.status, answer.json()["error"]) == (408, "body_too_slow")
        assert list(site.machine.disk.iterdir()) == []

    tell(tmp_path, story)


def test_a_directory_is_listed_and_a_file_lists_itself(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        with_files(site)
        listed = (await site.call("GET", f"{FS}/list?path=/d")).json()
        assert [(e["name"], e["type"], e["isDir"]) for e in listed["entries"]] == [
            ("out", "symlink", False),
            ("x", "file", False),
        ]

        (only,) = (await site.call("GET", f"{FS}/list?path=/d/x")).json()["entries"]
        assert (only["path"], only["size"], only["mode"]) == ("/d/x", 1, "0644")
        assert only["modTime"].endswith("Z")

    tell(tmp_path, story)


def test_a_name_that_is_no_text_can_be_seen_and_read(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        (site.machine.disk / os.fsdecode(b"\xff")).write_bytes(b"content")
        (only,) = (await site.call("GET", f"{FS}/list?path=/")).json()["entries"]
        answer = await site.call("GET", f"{FS}/read?path=/%ff")

        assert (only["name"], answer.body) == ("\\xff", b"content")

    tell(tmp_path, story)


@pytest.mark.parametrize("how", ["query", "body"])
def test_what_to_delete_is_said_in_query_or_body(tmp_path: Path, how: str) -> None:
    async def story(site: Site) -> None:
        with_files(site)
        said = {"path": "/d", "recursive": True, "asRoot": True}
        if how == "query":
            path = f"{FS}/delete?path=/d&recursive=true&asRoot=true"
            answer = await site.call("DELETE", path)
        else:
            body = json.dumps(said).encode()
            answer = await site.call("DELETE", f"{FS}/delete", body)

        assert (answer.status, answer.json()["count"]) == (200, 3)
        assert not (site.machine.disk / "d").exists()

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("call", "body", "there"),
    [
        ("rename", {"source": "f", "dest": "g", "workingDir": "/"}, "g"),
        ("copy", {"source": "/d", "dest": "/e", "recursive": True, "workingDir": "/"}, "e/x"),
        ("chmod", {"path": "/f", "mode": "0600", "workingDir": "/"}, "f"),
        ("chown", {"path": "/f", "uid": 5, "gid": 6, "workingDir": "/"}, "f"),
    ],
)
def test_files_are_changed(tmp_path: Path, call: str, body: dict[str, object], there: str) -> None:
    async def story(site: Site) -> None:
        with_files(site)
        answer = await site.call(
            "POST", f"{FS}/{call}", json.dumps({**body, "asRoot": True}).encode()
        )

        assert answer.status == 200, answer.body
        assert (site.machine.disk / there).exists()

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("path", "status", "code", "errno"),
    [
        ("read?path=/none", 404, "no_such_path", "ENOENT"),
        ("read?path=/d", 409, "is_a_directory", "EISDIR"),
        ("read?path=/f/x", 409, "not_a_directory", "ENOTDIR"),
        ("read?path=/a%00", 400, "bad_path", "EINVAL"),
        ("read?path=", 400, "bad_query", "bad_query"),
        ("read", 400, "bad_query", "bad_query"),
        ("read?path=/f&start=-1", 400, "bad_query", "bad_query"),
        ("read?path=/f&start=11", 416, "bad_range", "bad_range"),
        ("list?path=" + "x" * 300, 400, "bad_path", "ENAMETOOLONG"),
    ],
)
def test_what_went_wrong_with_a_file_has_the_name_of_its_errno(
    tmp_path: Path, path: str, status: int, code: str, errno: str
) -> None:
    async def story(site: Site) -> None:
        with_files(site)
        answer = await site.call("GET", f"{FS}/{path}")
        told = answer.json()

        assert (answer.status, told["error"], told["code"]) == (status, code, errno)

    tell(tmp_path, story)
