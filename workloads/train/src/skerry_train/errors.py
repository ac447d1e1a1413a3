"""The errors that users of the trainer meet: one sentence and an exit code each.

This file does not know what causes them.
"""

from __future__ import annotations


class TrainerError(Exception):
    """Something a user or a machine can cause. Its text is one sentence that says what to do."""

    exit_code = 1


class BadSettings(TrainerError):
    """A setting is unknown, of the wrong type, out of range or at odds with another."""

    exit_code = 2


class BadData(TrainerError):
    """A data set is missing, too short, or not in a format that is read."""

    exit_code = 3


class DoesNotFit(TrainerError):
    """The batch or the model needs more memory than there is."""

    exit_code = 4


class Diverged(TrainerError):
    """The loss is no number any more."""

    exit_code = 5


class BadCheckpoint(TrainerError):
    """A checkpoint is missing, damaged, or of another model."""

    exit_code = 6


class NoRoom(TrainerError):
    """The disk is full."""

    exit_code = 7


class RankLost(TrainerError):
    """Another process of the run has ended, or the network to it is gone."""

    exit_code = 8


class NotReachable(TrainerError):
    """A service elsewhere (a hub, a judge) does not answer, or refuses."""

    exit_code = 9
