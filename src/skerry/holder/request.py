"""What a holder is told: one map, made by the daemon and read once. Pure."""

from skerry.holder import frames


class Refusal(Exception):
    """A command that cannot be started. code and message are what the user gets to see."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Request:
    """One exec: where, what, and the limits that its holder keeps. Its attributes are the map.

    A plain class: `dataclasses` would cost each holder more than the rest of this package.
    """

    session_id: str
    box_id: str
    sessions_directory: str  # the session gets a directory of its own in it

    # The box's first process; the pair names it for good, a pid alone may come again.
    init_pid: int
    started_ticks: int
    box_group: str  # directory in the v2 tree that the exec's own group is made in
    legacy_tasks: list[str]  # `tasks` files of the box's v1 groups
    freeze_files: list[str]  # cgroup.events (v2) and freezer.state (v1) of the box
    processes_directory: str  # holds pids.current and pids.max; empty: the kernel checks
    oom_file: str  # holds a line `oom_kill N`; empty: there is none
    forks_file: str  # holds a line `max N`, the forks refused; empty: there is none

    argv: list[bytes]
    environment: dict[bytes, bytes]
    directory: bytes | None
    user: bytes | None
    tty: bool
    rows: int
    columns: int
    stdin: bool
    contain: bool
    disconnect_ns_max: int | None

    log_directory: str  # where its output is logged; empty: it goes to clients
    log_name: str
    log_bytes_max: int
    log_files_max: int

    ring_bytes_max: int
    start_ns_max: int
    stall_ns_max: int
    linger_ns: int

    def to_bytes(self) -> bytes:
        """Return it as the payload of a REQUEST frame."""
        values = vars(self)
        assert values.keys() == Request.__annotations__.keys(), "a request is whole"
        return frames.pack(values)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Request":
        """Return the request that to_bytes made data of. Raises frames.Malformed."""
        values = frames.unpack(data)
        if not isinstance(values, dict) or values.keys() != cls.__annotations__.keys():
            raise frames.Malformed("a request with other keys")
        request = cls()
        vars(request).update(values)  # pyright: ignore[reportUnknownArgumentType]
        return request
