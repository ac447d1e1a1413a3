"""The machines that are known, and what an hour of each costs."""

from pathlib import Path

import pytest

from skerry_train.bill import find_machine, read_machines
from skerry_train.errors import BadSettings

OWN = """{"machines": [{"name": "8xa100m40", "gpu": "NVIDIA A100", "gpus": 8,
  "gpu_memory_bytes": 42949672960, "price_usd_micros_per_hour": 1}]}"""


def test_the_posts_machines_are_known_at_the_posts_prices() -> None:
    prices = {name: each.price_usd_micros_per_hour for name, each in read_machines().items()}

    assert prices == {
        "2xh100m80": 6_380_000, "8xa100m40": 10_320_000, "8xa100m80": 14_320_000,
        "8xh100m80": 23_920_000, "8xb200m160": 39_920_000,
    }  # fmt: skip


def test_a_file_of_ones_own_holds_over_what_is_shipped(tmp_path: Path) -> None:
    (tmp_path / "machines.json").write_text(OWN)

    machines = read_machines(tmp_path / "machines.json")

    assert machines["8xa100m40"].price_usd_micros_per_hour == 1
    assert len(machines) == 5


def test_a_machine_that_is_not_known_is_told_with_the_nearest_name() -> None:
    with pytest.raises(BadSettings, match="did you mean '8xa100m40'"):
        find_machine("8xa100-40", read_machines())


@pytest.mark.parametrize(
    "text", ["{}", "[]", OWN.replace(": 1}", ": 0.5}"), OWN.replace('"gpus"', '"cards"')]
)
def test_a_file_of_machines_that_is_wrong_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "machines.json").write_text(text)

    with pytest.raises(BadSettings):
        read_machines(tmp_path / "machines.json")
