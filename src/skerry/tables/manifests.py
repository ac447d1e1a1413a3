"""Which files a table's metadata and manifests name. Only for the catalogue's thread."""

from __future__ import annotations

import io
from typing import Any, cast

import msgspec
from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile
from pyiceberg.manifest import ManifestFile, read_manifest_list

from skerry.tables.metadata import their_error


def named_by_metadata(data: bytes) -> tuple[list[str], list[str], bool]:
    """Return the URLs of manifest lists and of other files, and whether files may be deleted.

    Raises Invalid(bad_metadata).
    """
    with their_error("bad_metadata"):
        said: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
        snapshots: list[dict[str, Any]] = said.get("snapshots") or []
        lists = [str(each["manifest-list"]) for each in snapshots if "manifest-list" in each]
        logged: list[dict[str, Any]] = said.get("metadata-log") or []
        others = [str(each["metadata-file"]) for each in logged]
        for kind in ("statistics", "partition-statistics"):
            found: list[dict[str, Any]] = said.get(kind) or []
            others += [str(each["statistics-path"]) for each in found]
        properties: dict[str, Any] = said.get("properties") or {}
        return lists, others, properties.get("gc.enabled") != "false"


def manifests_of(data: bytes) -> list[ManifestFile]:
    """Return the manifests that a manifest list names. Raises Invalid(bad_manifest)."""
    with their_error("bad_manifest"):
        return list(read_manifest_list(_Memory(data).new_input("list")))


def files_of(manifest: ManifestFile, data: bytes) -> list[str]:
    """Return the URLs of the files that a manifest names. Raises Invalid(bad_manifest)."""
    with their_error("bad_manifest"):
        entries = manifest.fetch_manifest_entry(_Memory(data), discard_deleted=False)
        return [entry.data_file.file_path for entry in entries]


class _Memory(FileIO):
    """Gives out one file, whatever it is called."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def new_input(self, location: str) -> InputFile:
        return _MemoryFile(location, self._data)

    def new_output(self, location: str) -> OutputFile:
        raise NotImplementedError

    def delete(self, location: str | InputFile | OutputFile) -> None:
        raise NotImplementedError


class _MemoryFile(InputFile):
    def __init__(self, location: str, data: bytes) -> None:
        super().__init__(location)
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def exists(self) -> bool:
        return True

    def open(self, seekable: bool = True) -> InputStream:  # noqa: ARG002, FBT001, FBT002 - the library's
        return cast("InputStream", io.BytesIO(self._data))  # but for names of arguments
