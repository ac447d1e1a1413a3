"""What is done with a call: its tool found, its arguments read, its answer or error told.

Knows no transport: with whose rights a call is made, and who else calls, it asks `Callers`.
"""

import asyncio
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeAlias, TypeVar

import anyio
import msgspec
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)

import skerry
from skerry import client
from skerry.base import Failed, LimitReached, NotAvailable, SkerryError
from skerry.mcp import boxes, checkpoints, commands, files, network, services
from skerry.mcp.advice import ADVICE
from skerry.mcp.tool import Call, Tool, by_name, read_arguments

_T = TypeVar("_T")
Context: TypeAlias = ServerRequestContext[Any, Any]

_CALLS_AT_ONCE_MAX = 128  # of one caller: each may keep a few megabytes of output
_END_S_MAX = 20  # for a cancelled call to end what it began; an exec has its grace in that
_INSTRUCTIONS = (
    "Boxes are persistent Linux computers of the user's own. Make one with create_box, run commands "
    "with exec, and say the id that you were told as box_id, so that nothing is ever done to another "
    "box of the same name. Make a checkpoint before anything risky. What should go on running is a "
    "service. A box sleeps by itself when nobody uses it, and wakes when somebody does."
)

TOOLS = by_name(
    (
        boxes.TOOLS,
        commands.TOOLS,
        files.TOOLS,
        checkpoints.TOOLS,
        services.TOOLS,
        network.TOOLS,
    )
)


class Callers:
    """Who calls, and how many calls of each are under way.

    who: tells a caller from others. opened: gives the Skerry with the rights of a caller.
    """

    def __init__(
        self,
        who: Callable[[Context], str],
        opened: Callable[[Context], AbstractAsyncContextManager[client.Cloud]],
    ) -> None:
        self._who = who
        self.opened = opened
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def counted(self, context: Context) -> Generator[None]:
        """Count a call while the block lasts. Raises LimitReached(too_many_calls)."""
        caller = self._who(context)
        if self._under_way[caller] >= _CALLS_AT_ONCE_MAX:
            raise LimitReached(
                "too_many_calls",
                f"{_CALLS_AT_ONCE_MAX} calls are under way. Wait for one to end.",
                {"limit": _CALLS_AT_ONCE_MAX},
            )
        self._under_way[caller] += 1
        try:
            yield
        finally:
            self._under_way[caller] -= 1
            if not self._under_way[caller]:
                del self._under_way[caller]


def build(callers: Callers) -> Server[Any]:
    """Return the server that answers callers."""
    shapes = [tool.shape() for tool in TOOLS.values()]

    async def list_tools(
        _context: Context,
        _asked: PaginatedRequestParams | None,  # all fit one page
    ) -> ListToolsResult:
        return ListToolsResult(tools=shapes)

    async def call_tool(context: Context, asked: CallToolRequestParams) -> CallToolResult:
        tool = TOOLS.get(asked.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"There is no tool {asked.name[:80]!r}.")
        return await _whole(_answered(callers, context, tool, asked.arguments or {}))

    return Server(
        "skerry",
        version=skerry.__version__,
        title="Skerry",
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _answered(
    callers: Callers, context: Context, tool: Tool, arguments: object
) -> CallToolResult:
    """Return what a tool answers, or its error as an answer: the model is to read it."""

    async def tell(progress: float, message: str) -> None:
        await context.session.report_progress(progress, None, message)

    try:
        asked = read_arguments(tool, arguments)
        with callers.counted(context):
            async with asyncio.timeout(tool.seconds_max), callers.opened(context) as cloud:
                answer = await tool.run(Call(cloud, tell), asked)
    except SkerryError as error:
        return _error(error)
    except TimeoutError:
        limit = f"{tool.name} took longer than {tool.seconds_max:g} s and was given up."
        return _error(NotAvailable("call_timed_out", limit))
    except Exception as error:  # noqa: BLE001 - the last resort: an agent gets no traceback
        traceback.print_exception(error, file=sys.stderr)
        return _error(Failed("internal", "Skerry made a mistake here. Its log has the details."))
    text = msgspec.json.encode(answer).decode()
    return CallToolResult(
        content=[TextContent(text=text)], structured_content=msgspec.json.decode(text)
    )


def _error(error: SkerryError) -> CallToolResult:
    text = f"{error.code}: {error.message}"
    if error.code in ADVICE:
        text += f"\n{ADVICE[error.code]}"
    details = {name: value for name, value in error.details.items() if name != "path"}
    if details:
        text += "\n" + msgspec.json.encode(details, enc_hook=str).decode()
    return CallToolResult(content=[TextContent(text=shown(text))], is_error=True)


def shown(text: str) -> str:
    """Return text as JSON can hold it: bytes that were no UTF-8 are shown in hexadecimal."""
    return text.encode("utf-8", "backslashreplace").decode()


async def _whole(work: Coroutine[Any, Any, _T]) -> _T:
    """Return what work returns; when the call is cancelled, work is, and may undo what it began.

    The `mcp` package cancels by anyio, which goes on cancelling at every wait: nobody could end
    an exec then. So work is a task of its own, which is cancelled once, in asyncio's way.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task], timeout=_END_S_MAX)
        raise
