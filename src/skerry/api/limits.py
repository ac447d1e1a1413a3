"""What the edge lets in at most. Numbers come from the settings."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in nanoseconds."""

    json_bytes_max: int
    file_bytes_max: int
    output_bytes_max: int
    header_bytes_max: int
    header_wait_ns: int
    idle_wait_ns: int
    connections_max: int
    failed_logins_per_minute: int
