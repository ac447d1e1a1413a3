"""The tokens that a run reads: files of them, slices of those, and batches."""

from skerry_train.data.batches import Feeder, Share, Tokens, microbatch
from skerry_train.data.fetch import fetch, place
from skerry_train.data.files import Split, TokenFile, open_split
from skerry_train.data.slices import Mixing, Slice, plan

__all__ = [
    "Feeder",
    "Mixing",
    "Share",
    "Slice",
    "Split",
    "TokenFile",
    "Tokens",
    "fetch",
    "microbatch",
    "open_split",
    "place",
    "plan",
]
