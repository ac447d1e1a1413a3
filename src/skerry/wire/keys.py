"""Shapes of SSH keys, and of the passes that the SSH door is given."""

from typing import Annotated

from msgspec import Meta, Struct, field

PublicKeyLine = Annotated[
    str,
    Meta(min_length=1, max_length=16_384, description="a line as in ~/.ssh/id_ed25519.pub"),
]
KeyName = Annotated[str, Meta(min_length=1, max_length=63)]


class AddKey(Struct):
    """The body of `POST /v1/keys`. name: what to call it; the comment of the key if left out."""

    public_key: PublicKeyLine
    name: KeyName | None = None


class KeyShape(Struct, kw_only=True):
    """A public key, and the account that it lets in. type: such as `ssh-ed25519`."""

    name: str
    fingerprint: str
    type: str
    account: str
    public_key: str
    created_at: str
    last_used_at: str | None = None


class NewPass(Struct):
    """The body of `POST /v1/keys/pass`, which only the SSH door sends."""

    public_key: PublicKeyLine


class PassShape(Struct, kw_only=True):
    """What stands for the account that a key belongs to, until expires_at at the latest."""

    account: str
    text: str = field(name="pass")
    expires_at: str
