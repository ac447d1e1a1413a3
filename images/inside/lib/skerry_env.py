"""The command `skerry-env`: what a box can ask of Skerry about itself. `--help` tells what.

Runs inside boxes, on whatever Python 3.7 or later is there and with nothing beside it: no module
of Skerry's, none of anybody else's. What it asks for, anybody in the box may ask for with curl on
/.skerry/api.sock; it holds no rights and no secrets.
"""

# ruff: noqa: INP001 - a program, and no package
from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import sys
import time
from urllib.parse import quote, urlencode

SOCKET = "/.skerry/api.sock"
CONNECT_S_MAX = 10.0  # Skerry may be restarting, which does not end a box
AGAIN_S = 0.1
HEADERS = {"Host": "skerry", "Content-Type": "application/json"}

DESCRIPTION = """\
What this box can ask of Skerry about itself. See /.skerry/llm.txt for what all this is.
Answers are JSON but for logs. Exit code: 0, 1 for an error, 2 for a command that is none."""


class RefusedError(Exception):
    """An answer that is an error, or none; its text is for people."""


class Connection(http.client.HTTPConnection):
    """A connection to the socket of this box."""

    def connect(self) -> None:
        """Connect; wait a while for a Skerry that is being restarted."""
        path = os.environ.get("SKERRY_SOCKET", SOCKET)  # noqa: TID251 - not a part of the daemon
        deadline_s = time.monotonic() + CONNECT_S_MAX  # noqa: TID251
        while True:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.sock.connect(path)
            except OSError as error:
                self.sock.close()
                if time.monotonic() > deadline_s:  # noqa: TID251
                    raise RefusedError(
                        f"Skerry does not answer at {path}: {error.strerror}."
                    ) from None
            else:
                return
            time.sleep(AGAIN_S)  # noqa: TID251


def ask(
    method: str, path: str, body: object = None, query: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    """Return the answer to a call. Raises RefusedError with what an error says."""
    if query:
        path += "?" + urlencode(query)
    data = None if body is None else json.dumps(body).encode()
    try:
        answer = once(method, path, data)
    except (OSError, http.client.HTTPException) as error:
        if method != "GET":
            raise RefusedError(f"Skerry was cut short, perhaps half way: {error}.") from None
        answer = once(method, path, data)  # it was restarted while it answered
    if answer.status >= 400:
        raise RefusedError(error_of(answer.read()))
    return answer


def once(method: str, path: str, data: bytes | None) -> http.client.HTTPResponse:
    """Make a call and return the beginning of its answer."""
    connection = Connection("skerry")
    connection.request(method, path, data, HEADERS)
    return connection.getresponse()


def error_of(data: bytes) -> str:
    """Return the sentence in an error's body."""
    try:
        told = json.loads(data)
        return "{} ({})".format(told["message"], told["error"])
    except (ValueError, KeyError, TypeError):
        return data.decode("utf-8", "replace") or "Skerry refused, without a word."


def show(answer: http.client.HTTPResponse) -> int:
    """Print a JSON answer so that a person can read it; one without a body is silent."""
    data = answer.read()
    if data:
        sys.stdout.write(json.dumps(json.loads(data), indent=2, ensure_ascii=False) + "\n")
    return 0


def follow(answer: http.client.HTTPResponse) -> int:
    """Print the events of an answer as they come: output as it is, the rest in words."""
    code = 0
    for line in answer:
        event = json.loads(line)
        kind, data = event.get("type"), event.get("data") or ""
        if kind == "stdout":
            sys.stdout.write(data)
            sys.stdout.flush()
        elif kind == "error":
            sys.stderr.write(f"skerry-env: {data}\n")
            code = 1
        elif kind == "exit":
            sys.stderr.write("skerry-env: it ended: {}\n".format(data or event.get("exit_code")))
            code = 1
        elif data:
            ends = "" if kind == "stderr" else "\n"
            sys.stderr.write(data + ends)
    return code


def pairs(text: str) -> dict[str, str]:
    """Return the variables that K=V,K2=V2 says."""
    found = {}
    for each in text.split(","):
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise argparse.ArgumentTypeError("write variables as NAME=VALUE,OTHER=VALUE")
        found[name] = value
    return found


def words(text: str) -> list[str]:
    """Return what commas part."""
    return text.split(",") if text else []


def service_path(name: str, rest: str = "") -> str:
    """Return the path of a service."""
    return "/v1/services/" + quote(name, safe="") + rest


def create_service(asked: argparse.Namespace) -> int:
    """Make a service and tell its first words."""
    body = {
        "cmd": asked.cmd,
        "args": asked.argument or asked.args,
        "env": asked.env,
        "needs": asked.needs,
    }
    for name in ("dir", "http_port", "user", "ready_path"):
        if getattr(asked, name) is not None:
            body[name] = getattr(asked, name)
    query = {"duration": "0" if asked.no_stream else asked.duration}
    return follow(ask("PUT", service_path(asked.name), body, query))


def change_service(asked: argparse.Namespace) -> int:
    """Start, stop or restart a service."""
    query = {} if asked.verb == "stop" else {"duration": asked.duration}
    return follow(ask("POST", service_path(asked.name, "/" + asked.verb), {}, query))


def service_logs(asked: argparse.Namespace) -> int:
    """Print the last lines of a service's log, and with --follow what comes."""
    query = {"lines": str(asked.lines), "follow": "true" if asked.follow else "false"}
    return follow(ask("GET", service_path(asked.name, "/logs"), None, query))


def signal_service(asked: argparse.Namespace) -> int:
    """Send a signal to a service."""
    return show(ask("POST", "/v1/services/signal", {"name": asked.name, "signal": asked.signal}))


def raw(asked: argparse.Namespace) -> int:
    """Make one call and print the answer as it is."""
    method = asked.request or ("GET" if asked.data is None else "POST")
    body = None if asked.data is None else json.loads(asked.data)
    answer = ask(method, asked.path, body)
    for line in answer:
        sys.stdout.buffer.write(line)
        sys.stdout.flush()
    return 0


def add_services(nouns: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare what is done with services."""
    verbs = noun(nouns, "services", ["service"], "Commands that this box keeps running.")
    verbs.add_parser("list").set_defaults(run=lambda _: show(ask("GET", "/v1/services")))
    simple(verbs, "get", "name", lambda a: show(ask("GET", service_path(a.name))))
    simple(verbs, "delete", "name", lambda a: show(ask("DELETE", service_path(a.name))))
    for verb in ("start", "stop", "restart"):
        each = simple(verbs, verb, "name", change_service)
        each.set_defaults(verb=verb)
        each.add_argument("--duration", default="2s", help="how long to show its output")
    each = simple(verbs, "logs", "name", service_logs)
    each.add_argument("-n", "--lines", type=int, default=100)
    each.add_argument("-f", "--follow", action="store_true")
    each = simple(verbs, "signal", "name", signal_service)
    each.add_argument("signal", help="HUP, USR1, TERM ...")
    each = simple(verbs, "create", "name", create_service)
    each.add_argument("--cmd", required=True, help="the program alone")
    each.add_argument("--args", type=words, default=[], help="its arguments, parted by commas")
    each.add_argument("--arg", action="append", dest="argument", help="one of them, repeatable")
    each.add_argument("--env", type=pairs, default={}, help="NAME=VALUE,OTHER=VALUE")
    each.add_argument("--dir", help="where it runs")
    each.add_argument("--user", help="who it runs as")
    each.add_argument("--needs", type=words, default=[], help="services to start first: a,b")
    each.add_argument("--http-port", type=int, help="where it answers this box's web address")
    each.add_argument("--ready-path", help="a path of that port that answers once it is ready")
    each.add_argument("--duration", default="5s", help="how long to show its output")
    each.add_argument("--no-stream", action="store_true", help="show none")


def add_checkpoints(nouns: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare what is done with checkpoints."""
    path = "/v1/checkpoints"
    verbs = noun(nouns, "checkpoints", ["checkpoint"], "The disk as it was at an instant.")
    each = verbs.add_parser("list")
    each.add_argument("--include-auto", action="store_true", help="those that a restore kept too")
    each.add_argument("--history", help=argparse.SUPPRESS)
    each.set_defaults(
        run=lambda a: show(
            ask("GET", path, None, {"includeAuto": "true"} if a.include_auto else None)
        )
    )
    one = path + "/"
    simple(verbs, "get", "id", lambda a: show(ask("GET", one + quote(a.id, safe=""))))
    each = verbs.add_parser("create")
    each.add_argument("--comment", default="")
    each.set_defaults(run=lambda a: follow(ask("POST", "/v1/checkpoint", {"comment": a.comment})))
    simple(
        verbs, "restore", "id",
        lambda a: follow(ask("POST", one + quote(a.id, safe="") + "/restore", {})),
    )  # fmt: skip


def add_holds(nouns: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare what is done with holds."""
    path = "/v1/tasks"
    verbs = noun(nouns, "holds", ["hold", "tasks"], "What keeps this box awake, up to 1h at once.")
    verbs.add_parser("list").set_defaults(run=lambda _: show(ask("GET", path)))
    simple(verbs, "get", "name", lambda a: show(ask("GET", path + "/" + quote(a.name, safe=""))))
    simple(
        verbs, "delete", "name",
        lambda a: show(ask("DELETE", path + "/" + quote(a.name, safe=""))),
    )  # fmt: skip
    each = simple(
        verbs, "create", "name",
        lambda a: show(ask("PUT", path + "/" + quote(a.name, safe=""), {"expire": a.expire})),
    )  # fmt: skip
    each.add_argument("--for", "--expire", dest="expire", default="5m", help="30s, 5m, 1h")


def noun(
    nouns: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    aliases: list[str],
    words_of_it: str,
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """Declare a noun and return where its verbs are declared."""
    parser = nouns.add_parser(name, aliases=aliases, help=words_of_it, description=words_of_it)
    return parser.add_subparsers(metavar="VERB", required=True)


def simple(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    verb: str,
    argument: str,
    run: object,
) -> argparse.ArgumentParser:
    """Declare a verb that takes one name."""
    parser = verbs.add_parser(verb)
    parser.add_argument(argument)
    parser.set_defaults(run=run)
    return parser


def build() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="skerry-env",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    nouns = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, path, told in (
        ("info", "/v1/info", "Who this box is, and its web address."),
        ("why", "/v1/why", "Why this box is awake, and when it will sleep."),
    ):
        each = nouns.add_parser(name, help=told, description=told)
        each.set_defaults(run=lambda _, path=path: show(ask("GET", path)))
    version = nouns.add_parser("version", help="The version of Skerry.")
    version.set_defaults(run=lambda _: print_version())
    add_services(nouns)
    add_checkpoints(nouns)
    add_holds(nouns)
    policy = nouns.add_parser(
        "policy", help="Which names the network reaches, and what it refused."
    )
    policy.add_argument("what", nargs="?", choices=["show", "log"], default="show")
    policy.set_defaults(
        run=lambda a: show(ask("GET", "/v1/policy/network" + ("/log" if a.what == "log" else "")))
    )
    call = nouns.add_parser("curl", help="One call as it is: skerry-env curl /v1/services")
    call.add_argument("path")
    call.add_argument("-X", "--request", metavar="METHOD")
    call.add_argument("-d", "--data", metavar="JSON")
    call.set_defaults(run=raw)
    return parser


def print_version() -> int:
    """Print the version of Skerry."""
    sys.stdout.write(json.loads(ask("GET", "/v1/info").read())["version"] + "\n")
    return 0


def joined(arguments: list[str]) -> list[str]:
    """Return arguments with values that begin with a dash tied to their options, for argparse."""
    found: list[str] = []
    for each in arguments:
        if found and found[-1] in ("--args", "--arg", "--comment"):
            found[-1] += "=" + each
        else:
            found.append(each)
    return found


def main() -> int:
    """Run one command and return its exit code."""
    asked = build().parse_args(joined(sys.argv[1:]))
    try:
        return asked.run(asked)
    except RefusedError as error:
        sys.stderr.write(f"skerry-env: {error}\n")
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stderr.write(f"skerry-env: the answer was cut short: {error}\n")
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
