"""Which store a name means, and the file that knows names."""

import stat
from pathlib import Path

import pytest

from skerry.base import Conflict, Denied, Failed, NotFound
from skerry.remotes.choosing import chosen
from skerry.remotes.model import Remote
from skerry.remotes.registry import Registry

ELSEWHERE = Remote(endpoint="https://s3.example.com", access_key="k", secret="s")


def registry(folder: Path) -> Registry:
    made = Registry(folder / "skerry" / "remotes.json")
    made.add("backup", ELSEWHERE, replaces=False)
    return made


def test_a_name_is_what_was_added(tmp_path: Path) -> None:
    known = registry(tmp_path)

    assert chosen("backup", known, {}, tmp_path) == ELSEWHERE
    with pytest.raises(NotFound, match="remote add"):
        chosen("other", known, {}, tmp_path)


def test_none_is_that_of_the_environment(tmp_path: Path) -> None:
    told = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-1"}

    found = chosen("", registry(tmp_path), {**told, "AWS_ENDPOINT_URL": "http://x:1/"}, tmp_path)
    assert (found.endpoint, found.access_key, found.secret) == ("http://x:1", "a", "b")
    assert found.region == "eu-1"
    assert chosen("", registry(tmp_path / "2"), told, tmp_path).endpoint == "http://127.0.0.1:9000"


def test_else_it_is_the_store_of_this_machine(tmp_path: Path) -> None:
    known = registry(tmp_path)
    with pytest.raises(NotFound, match="remote add"):
        chosen("", known, {}, tmp_path)
    (tmp_path / "root-key").write_text("SKERRY\nsecret\n")

    for name in ("", "local"):
        found = chosen(name, known, {}, tmp_path)
        assert (found.access_key, found.secret) == ("SKERRY", "secret")
    (tmp_path / "root-key").write_bytes(b"\xff")
    with pytest.raises(Failed):
        chosen("local", known, {}, tmp_path)


def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    known = registry(tmp_path)
    path = tmp_path / "skerry" / "remotes.json"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(Denied, match="chmod 600"):
        known.all()


def test_names_are_added_once_and_removed(tmp_path: Path) -> None:
    known = registry(tmp_path)
    with pytest.raises(Conflict):
        known.add("backup", Remote(), replaces=False)
    with pytest.raises(Conflict):
        known.add("local", Remote(), replaces=True)
    known.add("backup", Remote(), replaces=True)
    known.remove("backup")

    assert known.all() == {}
    with pytest.raises(NotFound):
        known.remove("backup")


def test_a_file_of_another_shape_is_told(tmp_path: Path) -> None:
    known = registry(tmp_path)
    (tmp_path / "skerry" / "remotes.json").write_text('{"remotes": {"a": 1}}')

    with pytest.raises(Failed, match="Mend"):
        known.all()
