"""The real API over the simulated machine, for tests of what the two say to each other."""

from tests.api.conftest import Served, served

__all__ = ["Served", "served"]
