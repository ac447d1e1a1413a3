"""Finding the largest micro-batch that fits a device, and the line of memory that goes with it."""

from skerry_train.fit.finder import FitFailed, Place, find_largest, pairs
from skerry_train.fit.search import Attempt, Found, Line, find, through

__all__ = [
    "Attempt",
    "FitFailed",
    "Found",
    "Line",
    "Place",
    "find",
    "find_largest",
    "pairs",
    "through",
]
