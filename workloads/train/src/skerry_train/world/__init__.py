"""The processes of a run. Words: a **rank** is one of them, a **world** all of them."""

from skerry_train.world.world import MAX, MIN, SUM, StopRequest, World, join, joined, told_apart

__all__ = ["MAX", "MIN", "SUM", "StopRequest", "World", "join", "joined", "told_apart"]
