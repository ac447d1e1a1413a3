"""Skerry: a cloud of your own.

`import skerry` gives the SDK's public names, loaded when they are first used so that the parts of
Skerry that must start small (the process that holds an exec, above all) do not pay for them.
"""

TYPE_CHECKING = False  # a type checker takes the name for true; `typing` itself is much to import
if TYPE_CHECKING:
    from skerry.client import Box, Cloud, SyncBox, SyncCloud, connect, connect_sync

__version__ = "0.1.0"
__all__ = ["Box", "Cloud", "SyncBox", "SyncCloud", "__version__", "connect", "connect_sync"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'skerry' has no attribute {name!r}")
    import skerry.client  # noqa: PLC0415 - late on purpose, see the module's docstring

    return getattr(skerry.client, name)
