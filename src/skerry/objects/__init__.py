"""Objects: buckets and what lies in them, kept so that what was acknowledged is there.

Words: a *bucket* holds *objects*, each of which has a key and *versions*; an *upload* is an object
that comes in *parts*; a *user* holds access keys. The *log* is what counts: every change is a
*record* at its end, and the *index* follows from it. The bytes of big objects are *files*, of which
records tell.
"""

from skerry.objects.context import Objects, open_objects
from skerry.objects.rows import Row

__all__ = ["Objects", "Row", "open_objects"]
