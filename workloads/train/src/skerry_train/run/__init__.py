"""A run: its directory, its sessions, its loop, its checkpoints.

Words: a **session** is one life of the processes; a **checkpoint** is what the next one goes on from;
the **course** is what is done with what the loop comes to.
"""

from skerry_train.run.checkpoints import MODEL, Meta, complete, find, read_meta, read_tensors
from skerry_train.run.computing import autocast, computing, is_out_of_memory, make_model
from skerry_train.run.folder import RunFolder, open_run
from skerry_train.run.session import Listener, Quiet, Wanted, train
from skerry_train.run.snapshots import give_model
from skerry_train.run.totals import device_name, lines
from skerry_train.run.trial import Trial, plain_steps

__all__ = [
    "MODEL",
    "Listener",
    "Meta",
    "Quiet",
    "RunFolder",
    "Trial",
    "Wanted",
    "autocast",
    "complete",
    "computing",
    "device_name",
    "find",
    "give_model",
    "is_out_of_memory",
    "lines",
    "make_model",
    "open_run",
    "plain_steps",
    "read_meta",
    "read_tensors",
    "train",
]
