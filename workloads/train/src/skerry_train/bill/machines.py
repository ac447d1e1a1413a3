"""Machines that are rented by the hour, and what an hour costs.

The posts' machines, at the prices that the posts paid, come with the package. A file of one's own
adds to them, and holds where both have a name.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec

from skerry_train.errors import BadSettings
from skerry_train.settings import parse, read

_Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
_Bytes = Annotated[int, msgspec.Meta(ge=1, le=1 << 60)]
_Price = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A machine. Its price is for the whole of it, in millionths of a dollar for an hour."""

    name: str
    gpu: str
    gpus: _Count
    gpu_memory_bytes: _Bytes
    """That of one GPU."""
    price_usd_micros_per_hour: _Price


class _MachineFile(msgspec.Struct, frozen=True):
    machines: list[Machine]


def read_machines(file: Path | None = None) -> dict[str, Machine]:
    """Return all machines that are known, by name: the posts', and over them those of a file.

    Raises BadSettings if the file is missing or not as it should be.
    """
    shipped = resources.files("skerry_train.bill").joinpath("machines.json").read_bytes()
    known = parse(shipped, _MachineFile, "machines.json").machines
    if file is not None:
        known = known + read(file, _MachineFile).machines
    return {each.name: each for each in known}


def find_machine(name: str, machines: Mapping[str, Machine]) -> Machine:
    """Return a machine by its name. Raises BadSettings, with the nearest name, if there is none."""
    if name in machines:
        return machines[name]
    near = difflib.get_close_matches(name, machines, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(machines)};"
    raise BadSettings(
        f"there is no machine {name!r}; {hint} `skerry-train machines` lists them,"
        " and a file of machines can add one"
    )
