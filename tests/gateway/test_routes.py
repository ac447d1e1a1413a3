"""Which box and port a host name means."""

import msgspec
import pytest

from skerry.gateway.control import Box
from skerry.gateway.routes import Routes

AMBER = Box(box_id="box_a", name="amber", http_port=9000, domains=("shop.example.com",))
LOOKALIKE = Box(box_id="box_l", name="amber--3000")


def routes(*boxes: Box) -> Routes:
    made = Routes("localhost")
    for box in boxes:
        made.put(box)
    return made


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("amber.localhost", ("box_a", 9000)),
        ("amber--3000.localhost", ("box_a", 3000)),
        ("amber--65536.localhost", None),
        ("amber--0.localhost", None),
        ("amber--.localhost", None),
        ("shop.example.com", ("box_a", 9000)),
        ("www.shop.example.com", None),
        ("amber", None),
        ("localhost", None),
        ("x.amber.localhost", None),
        ("amber.localhost.example.com", None),
    ],
)
def test_a_name_means_a_port_of_a_box_or_nothing(
    name: str, expected: tuple[str, int] | None
) -> None:
    assert routes(AMBER).find(name) == expected


def test_no_box_can_take_another_ones_ports_by_its_name() -> None:
    assert routes(AMBER, LOOKALIKE).find("amber--3000.localhost") == ("box_a", 3000)
    assert routes(LOOKALIKE).find("amber--3000.localhost") == ("box_l", 8080)


def test_a_box_that_changed_or_went_has_its_old_names_no_more() -> None:
    made = routes(AMBER)
    made.put(msgspec.structs.replace(AMBER, name="brown", domains=()))
    assert made.find("amber.localhost") is None
    assert made.find("shop.example.com") is None
    assert made.find("brown.localhost") == ("box_a", 9000)

    made.remove("box_a")
    assert made.find("brown.localhost") is None


def test_a_name_that_moved_to_another_box_stays_there() -> None:
    made = routes(AMBER)
    made.put(Box(box_id="box_n", name="amber"))
    made.remove("box_a")

    assert made.find("amber.localhost") == ("box_n", 8080)
