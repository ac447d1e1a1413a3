"""Builders of archives and container images, good ones and hostile ones, for tests of imports."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

Member: TypeAlias = tuple[tarfile.TarInfo, bytes]


def entry(name: str, data: bytes = b"", **attributes: object) -> Member:
    """Return a regular file, or with `type=` something else."""
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    info.size = len(data)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def directory(name: str, **attributes: object) -> Member:
    """Return a directory."""
    return entry(name, b"", **{"type": tarfile.DIRTYPE, "mode": 0o755, **attributes})


def symbolic_link(name: str, target: str) -> Member:
    """Return a symbolic link."""
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> Member:
    """Return a second name for target."""
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def tar(*members: Member) -> bytes:
    """Return an archive with these members as they are, sound or not."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def digest(data: bytes) -> str:
    """Return the digest of data as OCI writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def oci_layout(
    *layers: bytes,
    architecture: str = ARCHITECTURE,
    compress: Callable[[bytes], bytes] = bytes,
    config: Mapping[str, object] | None = None,
) -> dict[str, bytes]:
    """Return the files of an OCI image layout, by path."""
    parts: dict[str, bytes] = {}

    def blob(data: bytes) -> dict[str, object]:
        parts["blobs/sha256/" + digest(data).removeprefix("sha256:")] = data
        return {"digest": digest(data), "size": len(data), "mediaType": "x"}

    described = {
        "architecture": architecture,
        "os": "linux",
        "config": config or {},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
    }
    manifest = {
        "config": blob(json.dumps(described).encode()),
        "layers": [blob(compress(layer)) for layer in layers],
    }
    described_manifest = blob(json.dumps(manifest).encode())
    described_manifest["platform"] = {"os": "linux", "architecture": architecture}
    parts["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    parts["index.json"] = json.dumps({"manifests": [described_manifest]}).encode()
    return parts


def both_layouts(*layouts: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return one layout whose index names all the images of layouts."""
    manifests = [json.loads(layout["index.json"])["manifests"][0] for layout in layouts]
    parts = {path: data for layout in layouts for path, data in layout.items()}
    return {**parts, "index.json": json.dumps({"manifests": manifests}).encode()}


def docker_save(layers: Sequence[bytes], *, names: Sequence[str]) -> list[Member]:
    """Return the members of an old `docker save` archive; a layer that was there is a link to it."""
    config = json.dumps({"rootfs": {"diff_ids": [digest(layer) for layer in layers]}}).encode()
    members: list[Member] = []
    first: dict[bytes, str] = {}
    for layer, name in zip(layers, names, strict=True):
        path = f"{name}/layer.tar"
        if layer in first:
            members.append(symbolic_link(path, f"../{first[layer]}/layer.tar"))
        else:
            members.append(entry(path, layer))
            first[layer] = name
    manifest = [{"Config": "c.json", "Layers": [f"{n}/layer.tar" for n in names], "RepoTags": None}]
    return [
        *members,
        entry("c.json", config),
        entry("manifest.json", json.dumps(manifest).encode()),
    ]


def as_tar(parts: Mapping[str, bytes]) -> bytes:
    """Return an archive of the files of a layout."""
    return tar(*(entry(path, data) for path, data in parts.items()))


def as_directory(parts: Mapping[str, bytes], at: Path) -> Path:
    """Write the files of a layout below at, and return at."""
    for path, data in parts.items():
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        (at / path).write_bytes(data)
    return at
