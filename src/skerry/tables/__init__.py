"""Tables of Iceberg in buckets: which there are, and which metadata file says what each is now.

Words: a *warehouse* is a bucket. It holds *namespaces*, which hold namespaces, *tables* and *views*.
A table's *metadata* is a file that never changes; the catalogue keeps the *pointer* to the one that
counts, and a *commit* swaps pointers, of several tables at once. To *purge* is to delete the files
too. What metadata means is the business of the library `pyiceberg`, which is an extra and is
imported, in a thread, when the first table is made or changed.
"""

from skerry.tables.context import Tables, check_installed
from skerry.tables.model import Identifier, Levels
from skerry.tables.running import running

__all__ = ["Identifier", "Levels", "Tables", "check_installed", "running"]
