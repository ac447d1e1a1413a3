"""The one way into the index: what a record says, and when what it tells of is to be looked at."""

import sqlite3

from skerry.objects import due, store
from skerry.objects.store import Applied, Changes


def apply(connection: sqlite3.Connection, changes: Changes, applied: Applied) -> None:
    """Have the index say what a record says, now or when it is read again after a crash."""
    store.apply(connection, changes, applied)
    due.note(connection, changes, applied)
