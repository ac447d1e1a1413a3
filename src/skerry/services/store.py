"""The table of services. The only SQL of this domain."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from skerry.services.model import Service, ServiceSpec

MIGRATIONS: Sequence[str] = (
    """
    CREATE TABLE services (
        box_id TEXT NOT NULL REFERENCES boxes (box_id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        argv TEXT NOT NULL,
        environment TEXT NOT NULL,
        directory TEXT,
        user TEXT,
        needs TEXT NOT NULL,
        http_port INTEGER,
        ready_path TEXT,
        wanted INTEGER NOT NULL,
        created_at_ns INTEGER NOT NULL,
        session_id TEXT,
        PRIMARY KEY (box_id, name)
    ) STRICT;
    """,
)

_COLUMNS = (
    "box_id, name, argv, environment, directory, user, needs, http_port, ready_path, wanted, "
    "created_at_ns, session_id"
)


def put(connection: sqlite3.Connection, service: Service) -> None:
    """Add a service, or put it in the place of the one of its name."""
    spec = service.spec
    connection.execute(
        f"INSERT OR REPLACE INTO services ({_COLUMNS}) "  # noqa: S608 - constants only
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            service.box_id, service.name, json.dumps(list(spec.argv)),
            json.dumps(dict(spec.environment)), spec.directory, spec.user,
            json.dumps(list(spec.needs)), spec.http_port, spec.ready_path, service.wanted,
            service.created_at_ns, service.session_id,
        ),
    )  # fmt: skip


def set_wanted(connection: sqlite3.Connection, box_id: str, name: str, *, wanted: bool) -> None:
    """Write down whether a service is to run."""
    connection.execute(
        "UPDATE services SET wanted = ? WHERE box_id = ? AND name = ?", (wanted, box_id, name)
    )


def set_session(connection: sqlite3.Connection, box_id: str, name: str, session_id: str) -> None:
    """Write down which session is a service's run, before it begins."""
    connection.execute(
        "UPDATE services SET session_id = ? WHERE box_id = ? AND name = ?",
        (session_id, box_id, name),
    )


def delete(connection: sqlite3.Connection, box_id: str, name: str) -> None:
    """Remove a service."""
    connection.execute("DELETE FROM services WHERE box_id = ? AND name = ?", (box_id, name))


def of_box(connection: sqlite3.Connection, box_id: str) -> list[Service]:
    """Return the services of a box, in the order of names."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM services WHERE box_id = ? ORDER BY name",  # noqa: S608 - constants only
        (box_id,),
    )
    return [_service(row) for row in rows]


def copy(connection: sqlite3.Connection, source_id: str, box_id: str) -> None:
    """Give a box the services of another."""
    for service in of_box(connection, source_id):
        put(
            connection,
            Service(
                box_id=box_id, name=service.name, spec=service.spec, wanted=service.wanted,
                created_at_ns=service.created_at_ns,
            ),
        )  # fmt: skip


def _service(row: Sequence[Any]) -> Service:
    return Service(
        box_id=row[0],
        name=row[1],
        spec=ServiceSpec(
            argv=tuple(json.loads(row[2])),
            environment=json.loads(row[3]),
            directory=row[4],
            user=row[5],
            needs=tuple(json.loads(row[6])),
            http_port=row[7],
            ready_path=row[8],
        ),
        wanted=bool(row[9]),
        created_at_ns=row[10],
        session_id=row[11],
    )
