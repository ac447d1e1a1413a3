"""The ground everything stands on: errors, ids, names, units, time. Pure: no I/O, no clock."""

from skerry.base.errors import (
    Conflict,
    Denied,
    Failed,
    Invalid,
    LimitReached,
    NotAvailable,
    NotBuilt,
    NotFound,
    SkerryError,
    TooLarge,
    Unauthorized,
)
from skerry.base.ids import ID_PATTERN, new_id
from skerry.base.money import NANO, exact_dollars, format_dollars, nanodollars
from skerry.base.names import LOGIN_NAME, box_name, checkpoint_name, image_name, random_box_name
from skerry.base.time import Clock, rfc3339
from skerry.base.units import (
    duration_ns,
    format_duration,
    format_size,
    size_bytes,
    written_duration,
)

__all__ = [
    "ID_PATTERN",
    "LOGIN_NAME",
    "NANO",
    "Clock",
    "Conflict",
    "Denied",
    "Failed",
    "Invalid",
    "LimitReached",
    "NotAvailable",
    "NotBuilt",
    "NotFound",
    "SkerryError",
    "TooLarge",
    "Unauthorized",
    "box_name",
    "checkpoint_name",
    "duration_ns",
    "exact_dollars",
    "format_dollars",
    "format_duration",
    "format_size",
    "image_name",
    "nanodollars",
    "new_id",
    "random_box_name",
    "rfc3339",
    "size_bytes",
    "written_duration",
]
