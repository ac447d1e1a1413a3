"""The control API: HTTP, WebSocket and JSON, in the Sprites wire protocol and beyond it.

Words: an *operation* is one call, in a table from which routes and the OpenAPI document are made;
an *edge* is the application behind one listening socket. Decides nothing: the domain does.
"""

from skerry.api.app import build, operations
from skerry.api.inside_doors import InsideDoors
from skerry.api.limits import Limits
from skerry.api.openapi import document
from skerry.api.routing import Services
from skerry.api.server import serve

__all__ = ["InsideDoors", "Limits", "Services", "build", "document", "operations", "serve"]
