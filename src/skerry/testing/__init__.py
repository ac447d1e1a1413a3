"""For tests only: the simulated machine, a clock turned by hand, and the suites of contracts.

Words: a *world* is what outlives a daemon (disks, running boxes, the database's file); a *crash*
ends the daemon at one step and leaves the world as it is.
"""

from skerry.testing.clock import HandClock
from skerry.testing.contract import MachineContract
from skerry.testing.house import House, a_rule_book
from skerry.testing.machine import Crash, SimulatedMachine, World

__all__ = [
    "Crash",
    "HandClock",
    "House",
    "MachineContract",
    "SimulatedMachine",
    "World",
    "a_rule_book",
]
