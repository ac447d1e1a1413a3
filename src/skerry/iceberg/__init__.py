"""The Iceberg REST protocol: requests, tokens, documents; decides nothing that the catalogue should.

Knows neither sockets nor S3: whoever serves it hands on what was asked, and says who may do what.
"""

from skerry.iceberg.call import Answer, Asked, Caller, Key
from skerry.iceberg.service import Catalog

__all__ = ["Answer", "Asked", "Caller", "Catalog", "Key"]
