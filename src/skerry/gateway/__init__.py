"""The gateway: HTTP from the outside to ports of boxes, as a process of its own.

Words: a *client* is who connects; an *exchange* is one request and its answer; *upstream* is a
connection to a box; a *tunnel* is what an exchange becomes after `101 Switching Protocols`. The
daemon tells it all it knows by `control` messages; it outlives the daemon and knows no database.
"""

from skerry.gateway import control

__all__ = ["control"]
