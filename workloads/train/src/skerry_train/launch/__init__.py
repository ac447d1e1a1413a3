"""Starting the processes of a run: by torchrun, or by Ray."""

from skerry_train.launch.torchrun import command, is_launched, run

__all__ = ["command", "is_launched", "run"]
