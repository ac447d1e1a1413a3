"""The Python SDK: a Skerry, its boxes, and what can be done with them, over HTTP.

`connect` gives a `Cloud`, which gives a `Box`, which runs commands (`Result`, or a `Session` to be
left and joined) and has `Files`. `connect_sync` gives the same for code that waits. Errors are
those of `skerry.base`, and the two about commands here. Knows the wire and nothing behind it.
"""

from typing import TYPE_CHECKING, Any

from skerry.client.box import Box
from skerry.client.cloud import Cloud, connect
from skerry.client.command import Result
from skerry.client.endpoint import DATA_DIRECTORY
from skerry.client.errors import CommandFailed, CommandTimedOut
from skerry.client.files import Files
from skerry.client.forward import Forward
from skerry.client.session import Session
from skerry.client.transfers import Transfer, TransferProgress, Watcher

if TYPE_CHECKING:
    from skerry.client.sync import SyncBox, SyncCloud, SyncFiles, SyncSession, connect_sync

__all__ = [
    "DATA_DIRECTORY",
    "Box",
    "Cloud",
    "CommandFailed",
    "CommandTimedOut",
    "Files",
    "Forward",
    "Result",
    "Session",
    "SyncBox",
    "SyncCloud",
    "SyncFiles",
    "SyncSession",
    "Transfer",
    "TransferProgress",
    "Watcher",
    "connect",
    "connect_sync",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the module protocol (PEP 562) says Any
    if name not in __all__:
        raise AttributeError(f"module 'skerry.client' has no attribute {name!r}")
    from skerry.client import sync  # noqa: PLC0415 - the command line never needs it

    return getattr(sync, name)
