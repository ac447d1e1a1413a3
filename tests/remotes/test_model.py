"""How people write where things lie."""

import pytest

from skerry.base import Invalid
from skerry.remotes.model import (
    File,
    Place,
    bucket_place,
    checked_endpoint,
    object_place,
    place,
    place_or_file,
    remote_name,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("photo.jpg", File("photo.jpg")),
        ("data/photo.jpg", File("data/photo.jpg")),
        ("./a:b", File("./a:b")),
        ("/a:b", File("/a:b")),
        ("-", File("-")),
        (":data/a/b", Place("", "data", "a/b")),
        ("s3://data/a/b", Place("", "data", "a/b")),
        ("backup:data/a:b", Place("backup", "data", "a:b")),
        ("backup:data", Place("backup", "data")),
        ("backup:", Place("backup")),
        (":data/../x", Place("", "data", "../x")),
        (":data//x", Place("", "data", "/x")),
    ],
)
def test_a_colon_before_the_first_slash_makes_an_object(text: str, found: Place | File) -> None:
    assert place_or_file(text) == found


def test_where_only_objects_can_be_meant_no_colon_is_needed() -> None:
    assert place("data/a") == Place("", "data", "a")
    assert object_place("backup:data/a") == Place("backup", "data", "a")
    assert bucket_place("backup:data/") == Place("backup", "data")


@pytest.mark.parametrize(
    ("reads", "text"),
    [
        (place_or_file, ""), (place_or_file, "Back Up:data"), (place_or_file, ":/key"),
        (place_or_file, ":data/" + "k" * 1025), (place_or_file, ":data/\udcff"),
        (object_place, "data"), (object_place, "data/"), (bucket_place, "data/key"),
        (bucket_place, "backup:"), (remote_name, "../x"), (remote_name, "a" * 64),
        (checked_endpoint, "example.com"), (checked_endpoint, "ftp://example.com"),
        (checked_endpoint, "http://user:secret@example.com"), (checked_endpoint, "http://[1"),
        (checked_endpoint, "http://a?b"), (checked_endpoint, "http://a\nb"),
    ],
)  # fmt: skip
def test_what_is_none_is_refused(reads: object, text: str) -> None:
    assert callable(reads)
    with pytest.raises(Invalid):
        reads(text)
