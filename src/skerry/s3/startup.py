"""What the environment says of keys and buckets, in the spellings that people know. Pure."""

import re
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
_OURS, _MINIO = "SKERRY_WEBHOOK_", "MINIO_NOTIFY_WEBHOOK_ENABLE_"
_TARGET = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BUCKETS = ("SKERRY_BUCKETS", "MINIO_DEFAULT_BUCKETS", "S3_BUCKET")


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where to tell what happens. token: sent along as Authorization, empty for none."""

    url: str
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What to begin with. access_key: empty if none is named.

    metrics_token: for those who ask for metrics from elsewhere. webhooks: by their names.
    """

    access_key: str = ""
    secret: str = ""
    metrics_token: str = ""
    buckets: Mapping[str, Access] = field(default_factory=dict[str, Access])
    webhooks: Mapping[str, Webhook] = field(default_factory=dict[str, Webhook])


def start_of(environment: Mapping[str, str]) -> Start:
    """Return what the environment asks for. Raises Invalid(bad_setting, bad_bucket_name)."""
    access_key, secret = _key(environment)
    buckets: dict[str, Access] = {}
    for variable in _BUCKETS:
        for text in environment.get(variable, "").replace(",", " ").split():
            name, _, access = text.partition(":")
            buckets[bucket_name(name)] = _access(variable, access)
    token = environment.get("SKERRY_METRICS_TOKEN", "")
    return Start(
        access_key=access_key, secret=secret, buckets=buckets, metrics_token=token,
        webhooks=_webhooks(environment),
    )  # fmt: skip


def _webhooks(environment: Mapping[str, str]) -> dict[str, Webhook]:
    found: dict[str, Webhook] = {}
    for variable, value in environment.items():
        if variable.startswith(_OURS) and not variable.endswith("_TOKEN"):
            name, url = variable[len(_OURS) :], value
            token = environment.get(f"{variable}_TOKEN", "")
        elif variable.startswith(_MINIO) and value.lower() in ("on", "true", "1"):
            name = variable[len(_MINIO) :]
            url = environment.get(f"MINIO_NOTIFY_WEBHOOK_ENDPOINT_{name}", "")
            token = environment.get(f"MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_{name}", "")
        else:
            continue
        if _TARGET.fullmatch(name) is None or not url.startswith(("http://", "https://")):
            raise Invalid("bad_setting", f"{variable} names an http:// or https:// address.")
        found[name.lower()] = Webhook(url=url, token=token)
    return found


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
