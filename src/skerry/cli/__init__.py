"""The command line. One file per command, or per noun where commands belong together.

Words: a *command* is what stands after `skerry`; the *table* in `table.py` says which file has it,
so that only that file is imported. Exit codes: 0 done, 1 it failed, 2 the command line is wrong,
124 `exec --timeout` ran out, 126 and 127 the command in the box cannot be run or is not there,
128 + n ended by signal n; beside these, `exec` passes on what the command in the box ended with.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from skerry.base import SkerryError
from skerry.cli.parser import WrongUsage, parse

__all__ = ["main", "reference"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (None: this process's own) and return its exit code."""
    _fill_descriptors()
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        code = options if isinstance(options, int) else _run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read our output has gone, as `head` does. Python would say so again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt as error:
        return 128 + getattr(error, "number", signal.SIGINT)
    return code


def _fill_descriptors() -> None:
    """Put /dev/null where stdin, stdout or stderr is closed, before a socket gets that number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one


def _run(options: argparse.Namespace) -> int:
    from skerry.cli.output import print_error  # noqa: PLC0415 - help and usage do without JSON

    try:
        code = options.run(options)
        if isinstance(code, int):
            return code
        from skerry.cli.unwinding import run_to_end  # noqa: PLC0415 - up and doctor do without

        return run_to_end(code)
    except SkerryError as error:
        print_error(error.code, error.message, error.details, as_json=options.json)
        if isinstance(error, WrongUsage):
            return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print_error("os_error", f"{where}{error.strerror or error}.", {}, as_json=options.json)
    return 1


def reference() -> str:
    """Return docs/cli.md, made from what the commands declare."""
    from skerry.cli.manual import reference as made  # noqa: PLC0415 - no command needs it

    return made()
