"""Looking at a run while it trains: its page and charts, served to this machine alone."""

from skerry_train.watch.album import Album
from skerry_train.watch.server import serve

__all__ = ["Album", "serve"]
