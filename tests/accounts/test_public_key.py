"""Public keys as text: those of ssh-keygen are read, everything else is refused in words."""

import base64
import contextlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.accounts.public_key import read_public_key
from skerry.base import Invalid


def line(kind: str, *parts: bytes, comment: str = "me") -> str:
    """Return a line as a .pub file has it."""
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in (kind.encode(), *parts))
    return f"{kind} {base64.b64encode(blob).decode()} {comment}"


def mpint(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


ED25519 = line("ssh-ed25519", bytes(32))
POINT = b"\x04" + bytes(64)
MODULUS = (1 << 2047) + 1


@pytest.mark.parametrize(
    ("kind", "bits"),
    [("ed25519", 256), ("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("rsa", 2048)],
)
def test_what_openssh_makes_is_read(tmp_path: Path, kind: str, bits: int) -> None:
    path = tmp_path / "key"
    make = ["ssh-keygen", "-q", "-t", kind, "-b", str(bits), "-N", "", "-C", "a b", "-f", str(path)]
    subprocess.run(make, check=True)
    text = path.with_suffix(".pub").read_text()

    key = read_public_key(text)

    told = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True)
    assert key.fingerprint == told.stdout.split()[1]
    assert (key.comment, f"{key.text} a b\n") == ("a b", text)


@pytest.mark.parametrize(
    "text",
    [
        line("sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:"),
        line("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", POINT, b"ssh:work"),
        ED25519 + "\r\n",
        ED25519.replace(" ", "   "),
        ED25519.rpartition(" ")[0],
    ],
)
def test_other_good_lines_are_read(text: str) -> None:
    assert read_public_key(text).fingerprint.startswith("SHA256:")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not begin with a key's type"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc", "private key"),
        (f"{ED25519}\n{ED25519}", "single line"),
        (f'command="rm -rf /" {ED25519}', "options"),
        (f"no-pty,{ED25519}", "options"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "Certificates"),
        (line("ssh-dss", b"x"), "not taken"),
        (line("ssh-ed448", bytes(57)), "not taken"),
        ("ssh-ed25519 !!!", "Copy the whole line"),
        ("ssh-ed25519", "damaged"),
        ("ssh-ed25519 AAAA", "damaged"),
        (line("ssh-ed25519", bytes(31)), "damaged"),
        (line("ssh-ed25519", bytes(32), b"more"), "damaged"),
        (ED25519.replace("ssh-ed25519", "ssh-rsa", 1), "damaged"),
        (line("ssh-ed25519", bytes(32)).replace("ssh-ed25519", "ssh-ed25519\0"), "type"),
        (line("ecdsa-sha2-nistp256", b"nistp384", POINT), "damaged"),
        (line("ecdsa-sha2-nistp256", b"nistp256", b"\x02" + bytes(32)), "damaged"),
        (line("ssh-rsa", mpint(65537), mpint((1 << 1023) + 1)), "2048"),
        (line("ssh-rsa", mpint(65537), mpint((1 << 16_384) + 1)), "16384"),
        (line("ssh-rsa", mpint(1), mpint(MODULUS)), "damaged"),
        (line("ssh-rsa", mpint(65537), b"\0" + mpint(MODULUS)), "damaged"),
        (line("ssh-rsa", mpint(65537), mpint(MODULUS)[1:]), "damaged"),
        (line("sk-ssh-ed25519@openssh.com", bytes(32), b"https:"), "damaged"),
        (line("sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:\xff"), "damaged"),
        (ED25519 + "x" * 20_000, "single line"),
        ("ssh-ed25519 \udcff", "Copy the whole line"),
        ("\U0001f511 x", "type"),
    ],
)
def test_other_lines_are_refused(text: str, says: str) -> None:
    with pytest.raises(Invalid, match=says) as refused:
        read_public_key(text)

    assert refused.value.code == "bad_key"


@given(st.text() | st.binary().map(lambda b: f"ssh-rsa {base64.b64encode(b).decode()}"))
def test_no_text_makes_it_stumble(text: str) -> None:
    with contextlib.suppress(Invalid):  # and nothing else
        read_public_key(text)


def test_a_comment_is_made_printable_and_short() -> None:
    assert read_public_key(f"{ED25519}\x1b[31m{'x' * 100}").comment[:7] == "me?[31m"
    assert len(read_public_key(f"{ED25519}{'x' * 100}").comment) == 63
