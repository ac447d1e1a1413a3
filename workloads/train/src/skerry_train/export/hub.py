"""Uploading a model's folder to Hugging Face's hub, where its library and a token are there.

The token is the library's own affair (`HF_TOKEN`, or a login); this file never sees it. It does not
know what is in the folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from skerry_train.errors import BadSettings, NotReachable

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def check_upload(repository: str) -> None:
    """Raise BadSettings, with what to do, unless an upload can be begun: before anything is made."""
    if not _REPOSITORY.fullmatch(repository):
        raise BadSettings(f"{repository!r} is no repository; give --upload OWNER/NAME")
    try:
        from huggingface_hub import get_token
    except ImportError:
        raise BadSettings(
            "an upload needs huggingface-hub; install skerry-train[hub], or upload the folder by hand"
        ) from None
    if not get_token():
        raise BadSettings(
            "an upload needs a token of the hub; set HF_TOKEN, or run `hf auth login`"
        )


def upload(folder: Path, repository: str, *, is_private: bool) -> str:
    """Upload a folder as a repository's next commit, and return where it can be seen.

    Raises NotReachable if the hub does not take it; the folder stays as it is.
    """
    from huggingface_hub import HfApi

    hub = HfApi()
    try:
        hub.create_repo(repository, private=is_private, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload model")
    except Exception as error:  # noqa: BLE001 - the library hands on those of three others
        told = " ".join(str(error).split())[:300]
        raise NotReachable(
            f"the hub did not take {repository}: {told}; {folder} is ready to try again"
        ) from None
    return f"{hub.endpoint}/{repository}"
