"""Which box and port a host name means. Pure.

`NAME.BASE` is the box's own HTTP port, `NAME--PORT.BASE` another one, and a box's own domains are
its HTTP port too.
"""

import re

from skerry.base import LOGIN_NAME
from skerry.gateway.control import Box

_WITH_PORT = re.compile(r"(.+)--([1-9][0-9]{0,4})")


class Routes:
    """The names of boxes. base_domain: what comes after a box's name.

    login_name: the host name of the login page, which is no box's.
    """

    def __init__(self, base_domain: str) -> None:
        self._suffix = "." + base_domain.lower().strip(".")
        self.login_name = LOGIN_NAME + self._suffix
        self._boxes: dict[str, Box] = {}
        self._by_name: dict[str, str] = {}
        self._by_domain: dict[str, str] = {}

    def put(self, box: Box) -> None:
        """Add a box, or what it is now."""
        self.remove(box.box_id)
        self._boxes[box.box_id] = box
        self._by_name[box.name] = box.box_id
        for domain in box.domains:
            self._by_domain[domain] = box.box_id

    def remove(self, box_id: str) -> None:
        """Forget a box and its names."""
        box = self._boxes.pop(box_id, None)
        if box is None:
            return
        _forget(self._by_name, box.name, box_id)
        for domain in box.domains:
            _forget(self._by_domain, domain, box_id)

    def is_ours(self, name: str) -> bool:
        """Tell whether a host name is one below the base domain."""
        return name.endswith(self._suffix)

    def find(self, name: str) -> tuple[str, int] | None:
        """Return box id and port that a host name without port means, in lower case."""
        if (box_id := self._by_domain.get(name)) is not None:
            return box_id, self._boxes[box_id].http_port
        if not self.is_ours(name):
            return None
        if name == self.login_name:
            return None  # although a box may have had it before it got this meaning
        label = name[: -len(self._suffix)]
        match = _WITH_PORT.fullmatch(label)
        if match and (box_id := self._by_name.get(match[1])) is not None:
            port = int(match[2])
            return (box_id, port) if port <= 65535 else None
        if (box_id := self._by_name.get(label)) is not None:
            return box_id, self._boxes[box_id].http_port
        return None


def _forget(names: dict[str, str], name: str, box_id: str) -> None:
    if names.get(name) == box_id:  # else another box has it by now
        del names[name]
