"""Network policies of real boxes: names refused, addresses closed, told why, kept over everything."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Program

# Asks the resolver for a name and prints the answer's code: 5 is REFUSED.
ASK = """
import re, socket, sys
name = b"".join(bytes([len(p)]) + p for p in sys.argv[1].encode().split(b".")) + b"\\0"
server = re.search(r"nameserver (\\S+)", open("/etc/resolv.conf").read())[1]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(30)
s.sendto(b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + name + b"\\0\\1\\0\\1", (server, 53))
print(s.recv(512)[3] & 15)
"""
# Tries to reach an address that nobody has (192.0.2.0/24 is for documents) and prints why not.
REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)
except OSError as error:
    print(type(error).__name__, error)
"""
REFUSED = 5


@pytest.fixture
def walled(program: Program, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a box that may reach example.org and what is below example.net."""
    name = f"walled-{abs(hash(request.node.nodeid)) % 10**10}"
    program.ok("create", name)
    program.ok("policy", "set", name, "--allow", "example.org", "--allow", "*.example.net")
    yield name
    program.run("destroy", name, "--yes", "--purge")


def ask(program: Program, box: str, name: str) -> int:
    return int(program.ok("exec", box, "--", "python3", "-c", ASK, name))


def reach(program: Program, box: str, address: str, port: int) -> str:
    return program.ok("exec", box, "--", "python3", "-c", REACH, address, str(port))


def test_a_denied_name_is_refused_and_logged_with_its_rule(program: Program, walled: str) -> None:
    for name in ("example.com", "example.net", "www.example.org"):
        assert ask(program, walled, name) == REFUSED
    for name in ("example.org", "a.b.example.net"):
        assert ask(program, walled, name) != REFUSED

    log = program.json("policy", "log", walled)
    assert {each["name"] for each in log} == {"example.com", "example.net", "www.example.org"}
    assert "no rule names it" in program.ok("policy", "log", walled)


@pytest.mark.parametrize(("address", "port"), [("192.0.2.7", 443), ("192.0.2.53", 53)])
def test_an_address_that_no_name_gave_is_closed(
    program: Program, walled: str, address: str, port: int
) -> None:
    said = reach(program, walled, address, port)

    assert "Error" in said, "it is closed"
    assert "timed out" not in said, "it is told so at once"
    while address not in {each["address"] for each in program.json("policy", "log", walled)}:
        pass  # the kernel tells in its own time; pytest's own limit ends a wait in vain


def test_a_policy_is_replaced_and_taken_away_at_once(program: Program, walled: str) -> None:
    program.ok("policy", "set", walled, "--deny", "example.org")
    assert ask(program, walled, "example.org") == REFUSED
    assert ask(program, walled, "example.com") != REFUSED
    program.ok("policy", "clear", walled)
    assert ask(program, walled, "example.org") != REFUSED
    assert program.json("policy", "show", walled) == {"rules": []}


def test_a_policy_outlives_the_daemon_a_stop_and_a_fork(program: Program, walled: str) -> None:
    program.kill()
    program.start()
    assert ask(program, walled, "example.com") == REFUSED
    program.ok("stop", walled)
    assert ask(program, walled, "example.com") == REFUSED
    program.ok("fork", walled, f"{walled}-f")
    assert ask(program, f"{walled}-f", "example.com") == REFUSED
    assert program.json("policy", "show", f"{walled}-f") == program.json("policy", "show", walled)
    program.ok("destroy", f"{walled}-f", "--yes", "--purge")


def test_the_document_is_that_of_the_protocol(program: Program, walled: str) -> None:
    path = f"/v1/sprites/{walled}/policy/network"
    policy = {
        "rules": [
            {"include": "defaults"},
            {"domain": "*.npmjs.org", "action": "allow"},
            {"domain": "*", "action": "deny"},
        ]
    }

    assert program.http("POST", path, policy)[0] == 204
    assert program.http("GET", path)[:2] == (200, policy)
    assert ask(program, walled, "github.com") != REFUSED


@pytest.mark.parametrize(
    "rule",
    [{"domain": "exa mple.org", "action": "allow"}, {"domain": "a.*.b", "action": "allow"},
     {"domain": "example.org", "action": "maybe"}, {"include": "nothing"}, {}],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_named_and_changes_nothing(
    program: Program, walled: str, rule: dict[str, str]
) -> None:
    before = program.json("policy", "show", walled)
    body = {"rules": [{"domain": "example.org", "action": "allow"}, rule]}
    status, told, _ = program.http("POST", f"/v1/boxes/{walled}/policy/network", body)

    assert (status, told["error"]) == (400, "bad_policy")
    assert "1" in told["message"]
    assert program.json("policy", "show", walled) == before
