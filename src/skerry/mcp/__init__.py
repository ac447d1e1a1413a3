"""The agents' door: boxes as tools of the Model Context Protocol, over stdio and streamable HTTP.

Words: a *tool* is one call that an agent may make; its *arguments* and its *answer* are msgspec
shapes, from which come the schemas that an agent reads. The protocol itself is the business of the
official `mcp` package, which is an extra: only who imports this package needs it. Knows the daemon
by the SDK alone, and has the rights of the token that an agent brings, no more.
"""

from skerry.mcp.stdio import serve_stdio
from skerry.mcp.web import serve_web

__all__ = ["serve_stdio", "serve_web"]
