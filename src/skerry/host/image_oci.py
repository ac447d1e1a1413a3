"""Container images: which layers one consists of, read from an OCI image layout or `docker save`.

Formats: the OCI image specification (image-layout.md, image-index.md, manifest.md, config.md), and
the `manifest.json` of `docker save`, which newer versions write beside an OCI layout. Where both
are there the layout counts, for it has digests of everything. Parts are asked for by name from
whoever knows where the image lies; how layers are unpacked, this file does not know.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import msgspec

from skerry.base import Invalid
from skerry.host.image_blob import Blob, check_digest, digest_hex

OpenPart: TypeAlias = Callable[[str], AbstractContextManager[Blob | None]]
"""Opens a part of an image by its path in the layout; None where there is none."""

_DESCRIPTION_BYTES_MAX = 8 * 1024 * 1024
_LAYERS_MAX = 512  # Docker's own limit is 127
_NESTING_MAX = 4  # indexes in indexes; real ones go one deep

# What an archive of a container image holds at its top, in contrast to a root filesystem.
_TOP_NAMES = frozenset(("blobs", "index.json", "manifest.json", "oci-layout", "repositories"))
# Configs and layers by digest: docker's own old form, and that of crane and ko.
_DIGEST_NAME = re.compile(r"(sha256:)?[0-9a-f]{64}(\.json|\.tar|\.tar\.gz)?")

_NAME_ANNOTATION = "org.opencontainers.image.ref.name"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """How the image wants its programs run: variables, user, directory; empty where it says none."""

    environment: Mapping[str, str]
    user: str
    directory: str


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: the part that holds it, and the digest of its tar before compression if known."""

    part: str
    uncompressed_digest: str | None


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """What to unpack, the lowest layer first, and how to run it."""

    layers: Sequence[Layer]
    config: ImageConfig


class _Platform(msgspec.Struct):
    architecture: str = ""
    os: str = ""


class _Descriptor(msgspec.Struct, rename="camel"):
    digest: str
    media_type: str = ""
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None


class _Document(msgspec.Struct):
    """An index (manifests) or a manifest (config and layers): a digest may lead to either."""

    manifests: list[_Descriptor] = []
    config: _Descriptor | None = None
    layers: list[_Descriptor] = []


class _RunConfig(msgspec.Struct, rename="pascal"):
    env: list[str] | None = None
    user: str | None = None
    working_dir: str | None = None


class _RootFilesystem(msgspec.Struct):
    diff_ids: list[str] | None = None


class _Config(msgspec.Struct):
    architecture: str = ""
    os: str = ""
    config: _RunConfig | None = None
    rootfs: _RootFilesystem | None = None


class _SavedImage(msgspec.Struct, rename="pascal"):
    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


def is_container_part(path: str) -> bool:
    """Tell whether an archive or directory that holds path at all is that of a container image."""
    top = path.partition("/")[0]
    return top in _TOP_NAMES or _DIGEST_NAME.fullmatch(top) is not None


def read_container_image(open_part: OpenPart, architecture: str) -> ContainerImage:
    """Return what the image for architecture (as Go calls it: amd64, arm64) consists of.

    All descriptions and layers that have digests are compared with them. Raises Invalid(bad_image).
    """
    index = _read(open_part, "index.json", _Document)
    if index is not None:
        return _from_layout(open_part, index, architecture)
    saved = _read(open_part, "manifest.json", list[_SavedImage])
    if saved is not None:
        return _from_saved(open_part, saved, architecture)
    raise Invalid(
        "bad_image",
        "The container image has neither an index.json nor a manifest.json. Make it anew, for "
        "instance with `docker save` or `skopeo copy`.",
    )


def _from_layout(open_part: OpenPart, index: _Document, architecture: str) -> ContainerImage:
    manifest = index
    for _ in range(_NESTING_MAX):
        if manifest.config is not None:
            break
        manifest = _read_blob(open_part, _fitting(manifest, architecture), _Document)
    if manifest.config is None:
        raise Invalid("bad_image", "The image's indexes lead to no manifest. Make it anew.")
    config = _read_blob(open_part, manifest.config.digest, _Config)
    for layer in manifest.layers:
        with open_part(_blob_part(layer.digest)) as blob:
            check_digest(_there(blob, layer.digest), layer.digest)
    return _image([_blob_part(layer.digest) for layer in manifest.layers], config, architecture)


def _fitting(index: _Document, architecture: str) -> str:
    """Return the digest of the one manifest for the architecture.

    One without a platform may be for any; its config tells. What attests to another manifest has
    the platform `unknown`.
    """
    fitting = {
        each.digest: (each.annotations or {}).get(_NAME_ANNOTATION, each.digest)
        for each in index.manifests
        if each.platform is None
        or (each.platform.os, each.platform.architecture) == ("linux", architecture)
    }
    _require_one(list(fitting.values()), architecture)
    return next(iter(fitting))


def _from_saved(
    open_part: OpenPart, saved: Sequence[_SavedImage], architecture: str
) -> ContainerImage:
    _require_one([", ".join(image.repo_tags or [image.config]) for image in saved], architecture)
    name = saved[0].config
    config = _read(open_part, name, _Config)
    if config is None:
        raise _missing(name)
    return _image(saved[0].layers, config, architecture)


def _image(parts: Sequence[str], config: _Config, architecture: str) -> ContainerImage:
    if (config.os or "linux", config.architecture or architecture) != ("linux", architecture):
        raise Invalid(
            "bad_image",
            f"The image is for {config.os} on {config.architecture}, this machine is linux on "
            f"{architecture}. Fetch the image for that.",
        )
    digests = (config.rootfs.diff_ids if config.rootfs else None) or [None] * len(parts)
    if not 0 < len(parts) <= _LAYERS_MAX or len(parts) != len(digests):
        raise Invalid(
            "bad_image",
            f"The image says that it has {len(parts)} layers and {len(digests)} digests of layers; "
            f"1 to {_LAYERS_MAX}, and as many of each, would make sense. Make it anew.",
        )
    return ContainerImage(
        tuple(Layer(part, digest) for part, digest in zip(parts, digests, strict=True)),
        _run_config(config.config or _RunConfig()),
    )


def _run_config(config: _RunConfig) -> ImageConfig:
    pairs = (variable.partition("=") for variable in config.env or ())
    return ImageConfig(
        environment={name: value for name, _, value in pairs if name and "\0" not in name + value},
        user=config.user or "",
        directory=config.working_dir or "",
    )


def _require_one(names: Sequence[str], architecture: str) -> None:
    if not names:
        raise Invalid(
            "bad_image", f"There is no image for linux on {architecture} in it. Fetch that one."
        )
    if len(names) > 1:
        raise Invalid(
            "bad_image",
            f"It holds {len(names)} images ({'; '.join(names)[:200]}). Save one of them alone.",
        )


def _read_blob(open_part: OpenPart, digest: str, shape: type[_T]) -> _T:
    with open_part(_blob_part(digest)) as blob:
        check_digest(_there(blob, digest), digest)
    found = _read(open_part, _blob_part(digest), shape)
    if found is None:
        raise _missing(digest)
    return found


def _read(open_part: OpenPart, part: str, shape: type[_T]) -> _T | None:
    with open_part(part) as blob:
        if blob is None:
            return None
        data = blob.read(_DESCRIPTION_BYTES_MAX)
    try:
        return msgspec.json.decode(data, type=shape)
    # Hostile JSON can be nested deeper than the decoder's own stack goes.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(
            "bad_image", f"{part[:100]!r} in the image is not what it should be: {error}."
        ) from error


def _there(blob: Blob | None, name: str) -> Blob:
    if blob is None:
        raise _missing(name)
    return blob


def _missing(name: str) -> Invalid:
    return Invalid("bad_image", f"{name[:100]!r} is missing in the image. Fetch the image again.")


def _blob_part(digest: str) -> str:
    return f"blobs/sha256/{digest_hex(digest)}"
