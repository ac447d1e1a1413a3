"""Experiments: one baseline, changes to it one at a time, and what each is worth.

Words: an **intervention** is a change to the baseline; the **noise** is how far seeds alone move the
loss.
"""

from skerry_train.experiment.running import Launch, perform
from skerry_train.experiment.spec import Changes, PlannedRun, Spec, planned, read_spec
from skerry_train.experiment.worth import Noise, chance, losses_of_one_kind, noise, worth_table

__all__ = [
    "Changes",
    "Launch",
    "Noise",
    "PlannedRun",
    "Spec",
    "chance",
    "losses_of_one_kind",
    "noise",
    "perform",
    "planned",
    "read_spec",
    "worth_table",
]
