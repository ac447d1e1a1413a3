"""Settings: where a value comes from, how it is written, and that the reference is true."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from skerry import config
from skerry.base import Invalid
from skerry.config import Settings


def settle(*flags: str, environment: dict[str, str] | None = None) -> Settings:
    parser = argparse.ArgumentParser()
    config.add_arguments(parser)
    return config.from_arguments(parser.parse_args(flags), environment or {})


def test_what_nobody_says_is_the_default(tmp_path: Path) -> None:
    assert settle("--data", str(tmp_path)) == Settings(data=tmp_path)


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "skerry.toml").write_text("boxes_max = 1\nready_boxes = 1\ncheckpoints_max = 1\n")
    variables = {"SKERRY_DATA": str(tmp_path), "SKERRY_BOXES_MAX": "2", "SKERRY_READY_BOXES": "2"}

    said = settle("--boxes-max", "3", environment=variables)

    assert (said.boxes_max, said.ready_boxes, said.checkpoints_max) == (3, 2, 1)


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        (["--default-memory", "512M"], "default_memory_bytes", 512 << 20),
        (["--pool-size", "1.5G"], "pool_size_bytes", 3 << 29),
        (["--trash-keep", "1h30m"], "trash_keep_ns", 5400 * 10**9),
        (["--trash-keep", "0"], "trash_keep_ns", 0),
        (["--default-cpus", "0.5"], "default_cpus", 0.5),
        (["--network-allow", "10.1.0.0/16, 10.2.0.0/16"], "network_allow",
         ("10.1.0.0/16", "10.2.0.0/16")),
        (["--network-allow", ""], "network_allow", ()),
    ],
)  # fmt: skip
def test_values_are_written_as_people_write_them(
    tmp_path: Path, flags: list[str], name: str, value: Any
) -> None:
    assert getattr(settle("--data", str(tmp_path), *flags), name) == value


@pytest.mark.parametrize(
    ("flags", "file", "code", "says"),
    [
        (["--boxes-max", "many"], "", "bad_setting", "--boxes-max"),
        (["--boxes-max", "-1"], "", "bad_setting", "--boxes-max"),
        (["--default-memory", "big"], "", "bad_setting", "--default-memory"),
        (["--trash-keep", "soon"], "", "bad_setting", "--trash-keep"),
        (["--config", "/nowhere.toml"], "", "bad_setting", "/nowhere.toml"),
        (["--default-memory", "5"], "", "bad_setting", "at least 16 MiB"),
        (["--default-cpus", "nan"], "", "bad_setting", "--default-cpus"),
        (["--header-wait", "0"], "", "bad_setting", "at least 1s"),
        ([], "boxes_max = ", "bad_setting", "skerry.toml"),
        ([], "boxs_max = 3", "unknown_setting", "boxs_max"),
        ([], "boxes_max = []", "bad_setting", "--boxes-max"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, flags: list[str], file: str, code: str, says: str
) -> None:
    (tmp_path / "skerry.toml").write_text(file)

    with pytest.raises(Invalid) as caught:
        settle("--data", str(tmp_path), *flags)

    assert caught.value.code == code
    assert says in caught.value.message


def test_a_list_may_be_one_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "skerry.toml").write_text('network_allow = ["10.1.0.0/16"]\ntrash_keep_ns = "2h"\n')

    said = settle("--data", str(tmp_path))

    assert (said.network_allow, said.trash_keep_ns) == (("10.1.0.0/16",), 7200 * 10**9)


def test_help_can_be_shown() -> None:
    parser = argparse.ArgumentParser()
    config.add_arguments(parser)

    assert "--trash-keep TIME" in parser.format_help()
