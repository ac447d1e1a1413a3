"""A run: its directory, its sessions, its loop, its checkpoints.

Words: a **session** is one life of the processes; a **checkpoint** is what the next one goes on from;
the **course** is what is done with what the loop comes to.
"""

from skerry_train.run.checkpoints import MODEL, Meta, find, read_meta, read_tensors
from skerry_train.run.computing import autocast, computing
from skerry_train.run.folder import open_run
from skerry_train.run.session import Quiet, Wanted, train
from skerry_train.run.snapshots import give_model
from skerry_train.run.totals import lines
from skerry_train.run.trial import Trial

__all__ = [
    "MODEL",
    "Meta",
    "Quiet",
    "Trial",
    "Wanted",
    "autocast",
    "computing",
    "find",
    "give_model",
    "lines",
    "open_run",
    "read_meta",
    "read_tensors",
    "train",
]
