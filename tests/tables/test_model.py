from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base import Invalid, TooLarge
from skerry.tables import Identifier, model


def test_namespaces_are_one_text_and_back() -> None:
    assert model.split(model.joined(("a", "b.c"))) == ("a", "b.c")
    assert model.split("") == ()


@pytest.mark.parametrize("levels", [(), ("",), ("a", ""), ("a\x1fb",), ("\ud800",), ("x" * 256,)])
def test_what_is_no_namespace_is_refused(levels: tuple[str, ...]) -> None:
    with pytest.raises(Invalid):
        model.namespace(levels)


def test_locations_are_below_their_bucket() -> None:
    assert model.key_of("s3://lake/a/b=1/", "lake") == "a/b=1"
    for url in (
        "s3://other/a", "s3://lake", "s3://lake/", "s3://lake//a", "s3://lake/a/../b", "/a",
        "s3://lake/a*", "s3://lake/a?", "s3://lake/${x}", "s3://lake/a\n", "s3://lakes/a",
    ):  # fmt: skip
        with pytest.raises(Invalid):
            model.key_of(url, "lake")


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=6), st.text(min_size=1))
def test_new_locations_may_be_locations(levels: list[str], name: str) -> None:
    location = model.new_location(Identifier(tuple(levels), name), bytes(16))

    assert model.key_of(model.url_of("lake", location), "lake") == location


def test_metadata_files_are_numbered() -> None:
    first = model.new_metadata_key("t", "", b"\x01")
    second = model.new_metadata_key("t", first, b"\x02")
    assert (first, second) == (
        "t/metadata/00000-01.metadata.json",
        "t/metadata/00001-02.metadata.json",
    )
    assert model.new_metadata_key("t", "x/v7.metadata.json", b"").startswith("t/metadata/00008-")


def test_properties_of_a_namespace_have_a_limit() -> None:
    for properties in ({str(n): "" for n in range(257)}, {"k": "v" * (64 << 10)}):
        with pytest.raises(TooLarge):
            model.properties(properties)


def test_uuids_are_of_version_4() -> None:
    import uuid  # noqa: PLC0415

    made: Any = uuid.UUID(model.new_uuid(bytes(range(16))))
    assert (made.version, made.variant) == (4, uuid.RFC_4122)
