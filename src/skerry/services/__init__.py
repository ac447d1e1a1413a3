"""Services: commands that a box keeps running, in order, with logs that outlive everybody.

Words: a *service* is what its owner asked for; it is *wanted* until it is stopped by hand, and that
sticks; a *keeper* is the task that keeps one running while its box is awake. A service does not
keep its box awake; it comes back with it. Knows no wire format and no Linux.
"""

from skerry.services.keepers import Services, begin, close, settle
from skerry.services.model import Service, ServiceSpec, ServiceState, Status
from skerry.services.operations import (
    delete,
    find,
    list_services,
    log,
    put,
    restart,
    signal,
    start,
    stop,
)
from skerry.services.store import MIGRATIONS

__all__ = [
    "MIGRATIONS",
    "Service",
    "ServiceSpec",
    "ServiceState",
    "Services",
    "Status",
    "begin",
    "close",
    "delete",
    "find",
    "list_services",
    "log",
    "put",
    "restart",
    "settle",
    "signal",
    "start",
    "stop",
]
