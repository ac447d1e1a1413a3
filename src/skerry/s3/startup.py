"""What the environment says of keys and buckets, in the spellings that people know. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from skerry.base import Invalid
from skerry.objects.model import bucket_name

Access: TypeAlias = Literal["public", "download", "upload", ""]
"""What everybody may do with a bucket: both, read and list, only put, or nothing."""

_SECRET_CHARACTERS_MIN = 8
_KEYS = (
    ("SKERRY_S3_ACCESS_KEY", "SKERRY_S3_SECRET_KEY"),
    ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"),
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
)
_BUCKETS = ("SKERRY_BUCKETS", "MINIO_DEFAULT_BUCKETS", "S3_BUCKET")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What to begin with. access_key: empty if none is named.

    metrics_token: for those who ask for metrics from elsewhere.
    """

    access_key: str = ""
    secret: str = ""
    metrics_token: str = ""
    buckets: Mapping[str, Access] = field(default_factory=dict[str, Access])


def start_of(environment: Mapping[str, str]) -> Start:
    """Return what the environment asks for. Raises Invalid(bad_setting, bad_bucket_name)."""
    access_key, secret = _key(environment)
    buckets: dict[str, Access] = {}
    for variable in _BUCKETS:
        for text in environment.get(variable, "").replace(",", " ").split():
            name, _, access = text.partition(":")
            buckets[bucket_name(name)] = _access(variable, access)
    token = environment.get("SKERRY_METRICS_TOKEN", "")
    return Start(access_key=access_key, secret=secret, buckets=buckets, metrics_token=token)


def _key(environment: Mapping[str, str]) -> tuple[str, str]:
    for user, password in _KEYS:
        access_key, secret = environment.get(user, ""), environment.get(password, "")
        if not access_key and not secret:
            continue
        if not access_key or len(secret) < _SECRET_CHARACTERS_MIN:
            raise Invalid(
                "bad_setting",
                f"Set both {user} and {password}, the latter to at least "
                f"{_SECRET_CHARACTERS_MIN} characters.",
            )
        if not access_key.isprintable() or "/" in access_key or len(access_key) > 128:
            raise Invalid("bad_setting", f"{user} is up to 128 characters without '/'.")
        return access_key, secret
    return "", ""


def _access(variable: str, text: str) -> Access:
    match text:
        case "public" | "download" | "upload" | "":
            return text
        case _:
            raise Invalid(
                "bad_setting",
                f"In {variable}, a bucket is NAME, or NAME:public, :download, :upload.",
            )
