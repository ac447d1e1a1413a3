"""What a view's metadata becomes: made, changed, checked. Only for the catalogue's thread.

The library has the shape of a view, but no updates of one: those are done here, on the JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec
from pyiceberg.schema import Schema
from pyiceberg.view.metadata import ViewMetadata

from skerry.base import Conflict, Invalid, TooLarge
from skerry.tables.metadata import Made, their_error
from skerry.tables.model import METADATA_BYTES_MAX

Json: TypeAlias = dict[str, Any]

_VERSIONS_DEFAULT = 10  # that are kept, as the specification has it
_VERSIONS_PROPERTY = "version.history.num-entries"


def created(
    schema: bytes, version: bytes, properties: dict[str, str], location: str, uuid: str
) -> Made:
    """Return the metadata of a new view. Raises Invalid(bad_metadata), TooLarge."""
    with their_error("bad_metadata"):
        first: Json = msgspec.json.decode(version, type=dict[str, Any])
        shape: Json = msgspec.json.decode(schema, type=dict[str, Any])
        view: Json = {
            "view-uuid": uuid, "format-version": 1, "location": location, "schemas": [],
            "current-version-id": -1, "versions": [], "version-log": [], "properties": properties,
        }  # fmt: skip
        _add_schema(view, shape)
        _add_version(view, {**first, "schema-id": shape.get("schema-id", 0)})
        _set_current(view, -1)
        return _made(view)


def heard(data: bytes) -> Made:
    """Return metadata that somebody wrote, if it is some. Raises Invalid(bad_metadata)."""
    with their_error("bad_metadata"):
        view = ViewMetadata.model_validate_json(data)
        return Made(data, view.view_uuid, view.location)


def changed(
    base: bytes,
    requirements: Sequence[bytes],
    updates: Sequence[bytes],
    check_location: Callable[[str], object],
) -> Made:
    """Return what metadata becomes. Raises Conflict(commit_failed), Invalid(bad_update), TooLarge."""
    with their_error("bad_update"):
        view: Json = msgspec.json.decode(base, type=dict[str, Any])
        for each in requirements:
            _require(view, msgspec.json.decode(each, type=dict[str, Any]))
        for each in updates:
            update: Json = msgspec.json.decode(each, type=dict[str, Any])
            if update.get("action") == "set-location":
                check_location(str(update["location"]))
            _apply(view, update)
        _forget_old(view)
        return _made(view)


def _require(view: Json, requirement: Json) -> None:
    if requirement.get("type") != "assert-view-uuid":
        raise Invalid("bad_update", "A view takes the requirement assert-view-uuid only.")
    if requirement.get("uuid") != view["view-uuid"]:
        raise Conflict("commit_failed", "The view is another one by now. Load it and try again.")


def _apply(view: Json, update: Json) -> None:
    action = update.get("action")
    doer = _DOERS.get(str(action))
    if doer is None:
        raise Invalid("bad_update", f"There is no update {str(action)[:80]!r} of views.")
    doer(view, update)


def _assign_uuid(view: Json, update: Json) -> None:
    if update["uuid"] != view["view-uuid"]:
        raise Invalid("bad_update", "A view keeps its UUID.")


def _upgrade(view: Json, update: Json) -> None:  # noqa: ARG001 - as the others
    if update["format-version"] != 1:
        raise Invalid("bad_update", "Views have the format 1 only.")


def _set_location(view: Json, update: Json) -> None:
    view["location"] = update["location"]


def _set_properties(view: Json, update: Json) -> None:
    view["properties"] = {**view.get("properties", {}), **update["updates"]}


def _remove_properties(view: Json, update: Json) -> None:
    gone = set(update["removals"])
    view["properties"] = {k: v for k, v in view.get("properties", {}).items() if k not in gone}


def _add_schema(view: Json, schema: Json) -> None:
    schema.setdefault("schema-id", 0)
    others = [each for each in view["schemas"] if each["schema-id"] != schema["schema-id"]]
    there = [each for each in view["schemas"] if each["schema-id"] == schema["schema-id"]]
    if there and Schema.model_validate(there[0]) != Schema.model_validate(schema):
        raise Invalid("bad_update", "There is another schema of that id.")
    view["schemas"] = [*others, schema]


def _add_version(view: Json, version: Json) -> None:
    if version.get("schema-id") == -1:
        version["schema-id"] = view["schemas"][-1]["schema-id"]
    version.setdefault("version-id", 1)
    if not any(each["schema-id"] == version["schema-id"] for each in view["schemas"]):
        raise Invalid("bad_update", "The version names a schema that is not there.")
    if any(each["version-id"] == version["version-id"] for each in view["versions"]):
        raise Invalid("bad_update", "There is a version of that id already.")
    view["versions"] = [*view["versions"], version]


def _set_current(view: Json, wanted: int) -> None:
    number = view["versions"][-1]["version-id"] if wanted == -1 else wanted
    found = [each for each in view["versions"] if each["version-id"] == number]
    if not found:
        raise Invalid("bad_update", "There is no version of that id.")
    if number == view["current-version-id"]:
        return
    view["current-version-id"] = number
    entry = {"timestamp-ms": found[0]["timestamp-ms"], "version-id": number}
    view["version-log"] = [*view["version-log"], entry]


def _forget_old(view: Json) -> None:
    """Keep the newest versions, and the current one."""
    text = view.get("properties", {}).get(_VERSIONS_PROPERTY, "")
    count = max(1, int(text)) if text.isdecimal() and len(text) < 6 else _VERSIONS_DEFAULT
    old = view["versions"][:-count]
    gone = {each["version-id"] for each in old} - {view["current-version-id"]}
    view["versions"] = [each for each in view["versions"] if each["version-id"] not in gone]
    view["version-log"] = [each for each in view["version-log"] if each["version-id"] not in gone]


def _made(view: Json) -> Made:
    data = msgspec.json.encode(view)
    if len(data) > METADATA_BYTES_MAX:
        raise TooLarge(
            "metadata_too_large", f"Metadata of a view has at most {METADATA_BYTES_MAX} bytes."
        )
    checked = ViewMetadata.model_validate_json(data)
    return Made(data, checked.view_uuid, checked.location)


_DOERS: dict[str, Callable[[Json, Json], None]] = {
    "assign-uuid": _assign_uuid,
    "upgrade-format-version": _upgrade,
    "add-schema": lambda view, update: _add_schema(view, update["schema"]),
    "set-location": _set_location,
    "set-properties": _set_properties,
    "remove-properties": _remove_properties,
    "add-view-version": lambda view, update: _add_version(view, dict(update["view-version"])),
    "set-current-view-version": lambda view, update: _set_current(
        view, int(update["view-version-id"])
    ),
}
