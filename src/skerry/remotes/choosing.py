"""Which store a name means: one that was added, that of the environment, or that of this machine."""

from collections.abc import Mapping
from pathlib import Path

from skerry.base import Failed, NotFound
from skerry.remotes.model import LOCAL, Remote, checked_endpoint, checked_region
from skerry.remotes.registry import Registry

_LOCAL_ENDPOINT = "http://127.0.0.1:9000"
_ROOT_KEY = "root-key"  # as s3/root_key.py keeps it
# As the store itself takes them, so that both work in one environment.
_KEYS = (
    ("SKERRY_S3_ACCESS_KEY", "SKERRY_S3_SECRET_KEY"),
    ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"),
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
)
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


def chosen(name: str, registry: Registry, environment: Mapping[str, str], objects: Path) -> Remote:
    """Return the remote of that name; for none the environment's, else this machine's own store.

    objects: where that store lies. Raises NotFound(no_such_remote, no_key), as `Registry.all`.
    """
    if name == LOCAL:
        return _local(objects)
    if name:
        found = registry.all().get(name)
        if found is None:
            raise NotFound(
                "no_such_remote",
                f"There is no remote {name}. `skerry remote add {name} --endpoint URL` adds it; "
                f"a file whose name has a colon is written ./{name}:...",
            )
        return found
    endpoint = _first(environment, _ENDPOINTS)
    access_key, secret = _key(environment)
    if not access_key and not endpoint:
        return _local(objects)
    # Keys without an endpoint mean this machine's store too: nothing goes to a cloud unasked.
    return Remote(
        endpoint=checked_endpoint(endpoint or _LOCAL_ENDPOINT),
        region=checked_region(_first(environment, _REGIONS) or Remote().region),
        access_key=access_key,
        secret=secret,
        session_token=environment.get("AWS_SESSION_TOKEN", ""),
    )


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")


def _key(environment: Mapping[str, str]) -> tuple[str, str]:
    for user, password in _KEYS:
        if environment.get(user) and environment.get(password):
            return environment[user], environment[password]
    return "", ""


def _local(objects: Path) -> Remote:
    path = objects / _ROOT_KEY
    try:
        words = path.read_text(encoding="ascii").split()
    except (FileNotFoundError, PermissionError):
        raise NotFound(
            "no_key",
            f"Which store? {path} holds no key of this machine's that you may read. Set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `skerry remote add` one.",
        ) from None
    except UnicodeDecodeError:
        words = []
    if len(words) != 2:
        raise Failed("bad_root_key", f"{path} holds no key. Bring it back, or remove it.")
    return Remote(endpoint=_LOCAL_ENDPOINT, access_key=words[0], secret=words[1])
