"""The public HTTP API as a stranger would call it: http.client, one kept connection, JSON."""

import http.client
import json
from typing import Any


class Api:
    """One connection to a daemon; not for use by several threads."""

    def __init__(self, port: int, token: str) -> None:
        self._address = ("127.0.0.1", port)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection(*self._address, timeout=120)

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Send one request and return its JSON; raise RuntimeError on any other status than 2xx."""
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, self._headers)
        response = self._connection.getresponse()
        data = response.read()
        if response.status // 100 != 2:
            raise RuntimeError(f"{method} {path}: {response.status} {data[:500]!r}")
        if response.headers.get("Content-Type", "").startswith("application/x-ndjson"):
            lines = [json.loads(line) for line in data.splitlines() if line]
            if lines[-1]["type"] != "complete":
                raise RuntimeError(f"{method} {path}: {lines[-1]}")
            return lines
        return json.loads(data) if data else None

    def create(self, name: str) -> None:
        """Create a box."""
        self.call("POST", "/v1/boxes", {"name": name})

    def destroy(self, name: str) -> None:
        """Destroy a box for good, past the trash."""
        self.call("DELETE", f"/v1/boxes/{name}?purge=true")

    def run(self, name: str, *argv: str) -> str:
        """Run a command to its end and return what it printed; it must exit with 0."""
        result = self.call("POST", f"/v1/boxes/{name}/run", {"cmd": list(argv)})
        if result["exit_code"] != 0:
            raise RuntimeError(f"{argv}: {result}")
        return result["stdout"]

    def checkpoint(self, name: str) -> str:
        """Make a checkpoint and return its name."""
        lines = self.call("POST", f"/v1/boxes/{name}/checkpoint", {})
        return lines[-1]["result"]["id"]
