"""What a service may be, in which order services start, when they start again."""

import pytest

from skerry.base import Conflict, Invalid
from skerry.services.model import (
    ServiceSpec,
    check_name,
    check_spec,
    failures_after,
    restart_delay_ns,
    with_needs,
)

SECOND_NS = 10**9


def needing(*names: str) -> ServiceSpec:
    return ServiceSpec(argv=["x"], needs=names)


def test_each_starts_after_what_it_needs() -> None:
    specs = {"web": needing("db", "cache"), "db": needing(), "cache": needing("db"), "a": needing()}

    assert with_needs(specs, "web") == ["db", "cache", "web"]
    assert with_needs(specs, "a") == ["a"]


def test_a_need_that_was_deleted_is_the_trouble_of_who_needs_it_alone() -> None:
    specs = {"web": needing("db"), "other": needing()}

    assert with_needs(specs, "other") == ["other"]
    with pytest.raises(Invalid, match="web needs 'db'"):
        with_needs(specs, "web")


@pytest.mark.parametrize(
    "specs", [{"a": needing("b"), "b": needing("a")}, {"a": needing("a")}, {"a": needing("none")}]
)
def test_circles_and_unknown_needs_are_refused(specs: dict[str, ServiceSpec]) -> None:
    with pytest.raises(Invalid) as caught:
        with_needs(specs, "a")
    assert caught.value.code == "bad_needs"


@pytest.mark.parametrize("name", ["", "a/b", "..", "a..b", ".a", "a-", "a" * 64, "a\n", "ä"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        check_name(name)


@pytest.mark.parametrize(
    "spec",
    [
        ServiceSpec(argv=[]),
        ServiceSpec(argv=[""]),
        ServiceSpec(argv=["a\0b"]),
        ServiceSpec(argv=["x"], environment={"A=B": "c"}),
        ServiceSpec(argv=["x"], http_port=0),
        ServiceSpec(argv=["x"], http_port=70_000),
        ServiceSpec(argv=["x"], ready_path="/"),
        ServiceSpec(argv=["x"], http_port=80, ready_path="/ HTTP/1.1\r\nX: y"),
    ],
)
def test_what_makes_no_sense_is_refused(spec: ServiceSpec) -> None:
    with pytest.raises(Invalid):
        check_spec(spec, "x", {})


def test_a_box_has_one_http_port() -> None:
    web = ServiceSpec(argv=["x"], http_port=80)

    with pytest.raises(Conflict) as caught:
        check_spec(web, "other", {"web": web})
    assert "already has an HTTP port configured" in caught.value.message


def test_who_ends_again_and_again_is_started_less_and_less_often() -> None:
    delays = [restart_delay_ns(failures) // SECOND_NS for failures in range(1, 9)]

    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    assert failures_after(7, 59 * SECOND_NS) == 8
    assert failures_after(7, 60 * SECOND_NS) == 1
