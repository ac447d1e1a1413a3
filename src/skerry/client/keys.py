"""SSH keys: who is let in by the SSH door, and as whom."""

from skerry.client.calls import Calls, path_of
from skerry.wire.keys import AddKey, KeyShape, NewPass, PassShape


async def add(calls: Calls, public_key: str, name: str | None = None) -> KeyShape:
    """Let whoever holds the key that belongs to this public one in, as whoever calls.

    public_key: a line as in ~/.ssh/id_ed25519.pub. Raises Invalid(bad_key, bad_name),
    Conflict(key_taken, name_taken), LimitReached(keys_limit).
    """
    body = AddKey(public_key=public_key, name=name)
    return await calls.ask(KeyShape, "POST", path_of("keys"), body=body)


async def list_all(calls: Calls, fingerprint: str = "") -> list[KeyShape]:
    """Return the keys of whoever calls, or the one of that fingerprint.

    On the machine itself the administrator is told those of everybody.
    """
    query = [("fingerprint", fingerprint)] if fingerprint else []
    return await calls.ask(list[KeyShape], "GET", path_of("keys"), query=query)


async def delete(calls: Calls, name_or_fingerprint: str) -> None:
    """Let nobody in by a key any more. Raises NotFound(key_not_found)."""
    await calls.tell("DELETE", path_of("keys"), query=[("key", name_or_fingerprint)])


async def make_pass(calls: Calls, public_key: str) -> PassShape:
    """Return a pass for the account that a key belongs to; only on the machine's own socket.

    Raises NotFound(key_not_found).
    """
    return await calls.ask(
        PassShape, "POST", path_of("keys", "pass"), body=NewPass(public_key=public_key)
    )
