"""The one settings table. Each setting is a flag, an environment variable and a TOML key.

A flag wins over the environment (`SKERRY_...`), that over the file (`--config`, else
DIR/skerry.toml), that over the default. `--help` and docs/settings.md are made from the table.
Nothing else in the daemon reads the environment.
"""

import argparse
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from skerry import wire
from skerry.base import Invalid, duration_ns, format_size, size_bytes, written_duration

_SECOND_NS = 10**9
_HOUR_NS = 3600 * _SECOND_NS
_DATA = Path("/var/lib/skerry")


def _setting(
    default: object, help_text: str, at_least: float = 0, at_most: float = float("inf")
) -> Any:  # noqa: ANN401 - a field of any type
    """Make a field. at_least, at_most: the range of a number, a size in bytes or a time in ns."""
    return field(
        default=default, metadata={"help": help_text, "at_least": at_least, "at_most": at_most}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, with its default. The end of a name says its unit: _bytes, _ns."""

    data: Path = _setting(_DATA, "the directory that holds everything")  # noqa: RUF009 - immutable
    listen: str = _setting("127.0.0.1:7070", "address and port of the HTTP API")
    instance: str = _setting("skerry", "tells daemons on one machine apart; 1 to 8 of a-z, 0-9")
    network: str = _setting("10.213.0.0/16", "the boxes' network; its size limits their number")
    network_allow: tuple[str, ...] = _setting(
        (), "private networks that boxes may reach, separated by commas"
    )
    ids_base: int = _setting(1_000_000_000, "the first host user id that boxes' ids are cut from")
    pool_directory: str = _setting("", "a btrfs directory to use in place of DIR/pool.img")
    pool_size_bytes: int = _setting(
        0, "size of DIR/pool.img, which is sparse; 0 is four fifths of what is free"
    )
    default_image: str = _setting("base", "the image of a box that names none")
    default_cpus: float = _setting(
        0.0, "CPUs of a box that names none; 0 is all of them", at_most=wire.CPUS_MAX
    )
    default_memory_bytes: int = _setting(
        2 << 30, "memory of a box that names none", *wire.MEMORY_BYTES_RANGE
    )
    default_disk_bytes: int = _setting(
        20 << 30, "disk of a box that names none, checkpoints included", *wire.DISK_BYTES_RANGE
    )
    default_processes: int = _setting(
        2048, "processes and threads of a box that names none", *wire.PROCESSES_RANGE
    )
    boxes_max: int = _setting(1000, "how many boxes there may be")
    ready_boxes: int = _setting(2, "how many boxes are kept started ahead of time")
    trash_keep_ns: int = _setting(24 * _HOUR_NS, "how long a destroyed box can be brought back")
    checkpoints_max: int = _setting(200, "how many checkpoints a box may keep", 1)
    auto_checkpoints_max: int = _setting(5, "how many automatic checkpoints a box keeps")
    stop_grace_ns: int = _setting(
        5 * _SECOND_NS, "how long stop waits after SIGTERM", at_most=_HOUR_NS
    )
    json_bytes_max: int = _setting(8 << 20, "the largest JSON body of a request", 1 << 10)
    file_bytes_max: int = _setting(16 << 30, "the largest file that one request may write")
    output_bytes_max: int = _setting(16 << 20, "output that a buffered exec returns at most")
    header_bytes_max: int = _setting(2 << 20, "request line and headers together", 1 << 10)
    header_wait_ns: int = _setting(
        15 * _SECOND_NS, "how long a request's headers may take", _SECOND_NS
    )
    idle_wait_ns: int = _setting(
        60 * _SECOND_NS, "how long a connection may stay without request", _SECOND_NS
    )
    connections_max: int = _setting(2000, "open connections to the API", 1)
    failed_logins_per_minute: int = _setting(30, "wrong tokens from one address before it waits", 1)
    warm_after_ns: int | None = _setting(
        30 * _SECOND_NS, "when an idle box is frozen, or never", _SECOND_NS
    )
    cold_after_ns: int | None = _setting(
        600 * _SECOND_NS, "when a frozen box is stopped, or never", _SECOND_NS
    )
    hold_max_ns: int = _setting(
        24 * _HOUR_NS, "how long a hold may keep a box awake", _SECOND_NS, 30 * 24 * _HOUR_NS
    )
    gateway_listen: str = _setting(
        "127.0.0.1:8080", "address and port of the boxes' web addresses; empty is no gateway"
    )
    base_domain: str = _setting("localhost", "what comes after a box's name in its web address")
    gateway_url: str = _setting(
        "", "that address as seen through another server, such as https://{name}.example.com"
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (), "addresses or networks whose X-Forwarded headers the gateway believes"
    )
    gateway_log: str = _setting("", "a file for the gateway's access log")
    gateway_connections_max: int = _setting(8192, "open connections to the gateway", 1)
    login_ns: int = _setting(
        30 * 24 * _HOUR_NS, "how long a login at a web address lasts", 60 * _SECOND_NS
    )
    wake_wait_ns: int = _setting(
        60 * _SECOND_NS, "how long a request waits for its box to wake", _SECOND_NS, _HOUR_NS
    )
    listen_wait_ns: int = _setting(
        30 * _SECOND_NS, "how long it then waits for the port to listen", _SECOND_NS, _HOUR_NS
    )
    answer_wait_ns: int = _setting(
        300 * _SECOND_NS, "how long a box may take to begin an answer", _SECOND_NS, 24 * _HOUR_NS
    )
    ssh_listen: str = _setting(
        "127.0.0.1:2222", "address and port of the SSH door; empty is no door"
    )
    s3_listen: str = _setting(
        "127.0.0.1:9000", "address and port of the object store; empty is no store"
    )
    s3_domain: str = _setting("localhost", "what comes after a bucket in a host name")
    s3_region: str = _setting("us-east-1", "the region that the object store says it is in")
    memory_low_percent: float = _setting(
        10.0, "frozen boxes are stopped when less of the memory is free", at_most=90
    )
    service_log_bytes: int = _setting(
        10 << 20, "how large a service's log may get before it is put aside", 64 << 10
    )
    service_log_files: int = _setting(
        7, "how many older logs of a service are kept, compressed", at_most=1000
    )
    meter_interval_ns: int = _setting(
        30 * _SECOND_NS, "how often boxes are read for the meter", _SECOND_NS, _HOUR_NS
    )
    usage_keep_ns: int = _setting(
        400 * 24 * _HOUR_NS, "how long use is kept by the hour", 32 * 24 * _HOUR_NS
    )
    machine_price: float = _setting(0.0, "what this machine cost, in dollars, for bills")
    machine_years: float = _setting(5.0, "how long it is to last, in years", 0.1, 100)
    machine_watts_idle: float = _setting(0.0, "the power it takes while idle, in watts")
    machine_watts_busy: float = _setting(0.0, "the power it takes while busy, in watts")
    power_price: float = _setting(0.0, "what a kilowatt hour costs, in dollars")
    apt_mirror: str = _setting("", "Debian mirror for building images; empty is the usual one")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one flag per setting, and --config; all are text until `from_arguments` reads them.

    --data is left out where the parser has it already.
    """
    parser.add_argument(
        "--config", metavar="FILE", help="settings in TOML (default: DIR/skerry.toml)"
    )
    for each in fields(Settings):
        if each.name == "data" and any("--data" in a.option_strings for a in parser._actions):  # noqa: SLF001
            continue
        text = f"{each.metadata['help']} (default: {_shown(each)})".replace("%", "%%")
        parser.add_argument(flag_of(each.name), dest=each.name, metavar=_kind(each), help=text)


def from_arguments(
    namespace: argparse.Namespace, environment: Mapping[str, str] = os.environ
) -> Settings:
    """Return the settings that the flags, the environment and the file say together.

    Raises Invalid(bad_setting) naming the setting, Invalid(unknown_setting).
    """
    flags = {k: v for k, v in vars(namespace).items() if v is not None}
    data = flags.get("data") or environment.get("SKERRY_DATA") or Settings().data
    given = getattr(namespace, "config", None) or environment.get("SKERRY_CONFIG")
    table = _read_file(Path(given) if given else Path(data) / "skerry.toml", must=bool(given))
    values: dict[str, object] = {}
    for each in fields(Settings):
        for said in (
            flags.get(each.name),
            environment.get(variable_of(each.name)),
            table.get(each.name),
        ):
            if said is not None:
                values[each.name] = _parse(each, said)
                break
    return Settings(**values)  # pyright: ignore[reportArgumentType]


def flag_of(name: str) -> str:
    """Return the flag of a setting: units are in the value, so they are not in the flag."""
    return "--" + name.removesuffix("_ns").removesuffix("_bytes").replace("_", "-")


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return "SKERRY_" + flag_of(name)[2:].replace("-", "_").upper()


_HOW_TO_SAY_THEM = (
    "Each can be a flag of `skerry up`, an environment variable, or a key in the file given by "
    "`--config` (default `DIR/skerry.toml`). A flag wins over the environment, that over the "
    "file. Sizes are written like `512M` or `20G`, times like `30s` or `24h`."
)


def reference() -> str:
    """Return docs/settings.md."""
    lines = [
        "# Settings",
        "",
        _HOW_TO_SAY_THEM,
        "",
        "| flag | variable | key | default | what it is |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{flag_of(f.name)}` | `{variable_of(f.name)}` | `{f.name}` | {_shown(f)} "
        f"| {f.metadata['help']} |"
        for f in fields(Settings)
    ]
    return "\n".join(lines) + "\n"


def _read_file(path: Path, *, must: bool) -> Mapping[str, object]:
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        if must:
            raise Invalid("bad_setting", f"The settings file {path} does not exist.") from None
        return {}
    except OSError as error:
        raise Invalid(
            "bad_setting", f"The settings file {path} cannot be read: {error.strerror}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid("bad_setting", f"The settings file {path} is no TOML: {error}.") from None
    known = {f.name for f in fields(Settings)}
    if unknown := sorted(set(table) - known):
        raise Invalid(
            "unknown_setting", f"{path} has a setting {unknown[0]!r}, which is none of ours."
        )
    return table


def _parse(each: Field[Any], said: object) -> object:
    try:
        value = _convert(each, said)
    except (ValueError, TypeError):
        raise Invalid(
            "bad_setting", f"{said!r} is no value for {flag_of(each.name)}. It takes {_kind(each)}."
        ) from None
    except Invalid as error:
        raise Invalid("bad_setting", f"{flag_of(each.name)}: {error.message}") from None
    if isinstance(value, int | float):
        _check_range(each, value)
    return value


def _check_range(each: Field[Any], value: float) -> None:
    for bound, words in (("at_least", "at least"), ("at_most", "at most")):
        limit = each.metadata[bound]
        if value < limit if bound == "at_least" else value > limit:
            raise Invalid(
                "bad_setting",
                f"{flag_of(each.name)} is {_written(each, value)}. "
                f"Give {words} {_written(each, limit)}.",
            )


def _convert(each: Field[Any], said: object) -> object:
    default = each.default
    if isinstance(default, tuple):
        parts = said.split(",") if isinstance(said, str) else cast("list[object]", said)
        return tuple(str(part).strip() for part in parts if str(part).strip())
    if each.name.endswith("_ns"):
        may_be_never = "None" in str(each.type)
        return None if may_be_never and said == "never" else duration_ns(str(said))
    if each.name.endswith("_bytes") or each.name.endswith("_bytes_max"):
        return size_bytes(str(said))
    number = type(default)(str(said))
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(said)
    return number


def _kind(each: Field[Any]) -> str:
    if isinstance(each.default, tuple):
        return "LIST"
    if each.name.endswith("_ns"):
        return "TIME"
    if each.name.endswith("_bytes") or each.name.endswith("_bytes_max"):
        return "SIZE"
    return "NUMBER" if isinstance(each.default, int | float) else "TEXT"


def _shown(each: Field[Any]) -> str:
    assert each.default is not MISSING
    if isinstance(each.default, tuple):
        return ",".join(cast("tuple[str, ...]", each.default)) or "none"
    return _written(each, each.default) or "none"


def _written(each: Field[Any], value: Any) -> str:  # noqa: ANN401 - as settings are
    if each.name.endswith("_ns"):
        return "never" if value is None else written_duration(value)
    if _kind(each) == "SIZE" and value:
        return format_size(value)
    return str(value)


def environment() -> Mapping[str, str]:
    """Return the environment of this process."""
    return os.environ


def objects_directory(data: str | None) -> Path:
    """Return where objects lie that are served without a daemon: in data, or in the user's home."""
    data = data or os.environ.get("SKERRY_DATA")
    if data is None and os.geteuid() != 0:
        home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
        return Path(home) / "skerry" / "objects"
    return (Path(data) if data else _DATA) / "objects"


def remotes_file() -> Path:
    """Return where a user's remotes are kept."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "skerry" / "remotes.json"
