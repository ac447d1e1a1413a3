"""Temporary keys: known again by their store alone, for as long as they were issued."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base import Denied, Failed, Invalid
from skerry.s3.root_key import SESSION_FILE, session_secret
from skerry.s3.sessions import Credentials, Sessions
from tests.objects.place import Ground

NOW_S = 1_000_000
SECRET = bytes(range(32))


def sessions(folder: Path, secret: bytes = SECRET, now_s: int = NOW_S) -> Sessions:
    return Sessions(secret, Ground(folder).entropy, lambda: now_s)


def issued(folder: Path, policy: bytes | None = b"{}") -> Credentials:
    return sessions(folder).issue("root", "AKIAISSUER", policy, 900, "me")


def test_a_temporary_key_is_known_again_after_a_restart(tmp_path: Path) -> None:
    made = issued(tmp_path)

    session = sessions(tmp_path).opened(made.access_key, made.session_token)

    assert session is not None
    assert (session.account, session.issuer, session.name) == ("root", "AKIAISSUER", "me")
    assert (session.policy, session.secret) == (b"{}", made.secret)
    assert session.expires_at_s == made.expires_at_s == NOW_S + 900
    assert made.access_key.startswith("ASIA")


def test_a_temporary_key_ends_to_the_second(tmp_path: Path) -> None:
    made = issued(tmp_path)

    assert sessions(tmp_path, now_s=NOW_S + 899).opened(made.access_key, made.session_token)
    with pytest.raises(Denied, match="expired"):
        sessions(tmp_path, now_s=NOW_S + 900).opened(made.access_key, made.session_token)


def test_a_token_of_another_store_or_key_is_none(tmp_path: Path) -> None:
    made = issued(tmp_path)

    assert sessions(tmp_path, bytes(32)).opened(made.access_key, made.session_token) is None
    assert sessions(tmp_path).opened("ASIAOTHER", made.session_token) is None


@given(st.integers(0, 10_000), st.sampled_from("AZaz09-_=+/ é"))
def test_a_token_that_was_changed_is_none(
    tmp_path_factory: pytest.TempPathFactory, place: int, letter: str
) -> None:
    folder = tmp_path_factory.mktemp("s")
    made = issued(folder)
    token = made.session_token
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]

    opened = sessions(folder).opened(made.access_key, changed)

    assert (opened is not None) == (changed == token)


@given(st.text(max_size=200))
def test_noise_is_no_token(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    assert sessions(tmp_path_factory.mktemp("s")).opened("ASIA", text) is None


@pytest.mark.parametrize(
    ("policy", "lifetime_s", "name", "code"),
    [
        (None, 899, "", "bad_lifetime"),
        (None, 43_201, "", "bad_lifetime"),
        (b"x" * 4097, 900, "", "policy_too_large"),
        (None, 900, "n" * 65, "bad_session_name"),
    ],
)
def test_what_is_asked_for_has_limits(
    tmp_path: Path, policy: bytes | None, lifetime_s: int, name: str, code: str
) -> None:
    with pytest.raises(Invalid) as refused:
        sessions(tmp_path).issue("root", "AKIA", policy, lifetime_s, name)
    assert refused.value.code == code


def test_the_secret_of_a_store_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    entropy = Ground(tmp_path).entropy

    first, second = session_secret(tmp_path, entropy), session_secret(tmp_path, entropy)

    assert first == second
    assert stat.S_IMODE((tmp_path / SESSION_FILE).stat().st_mode) == 0o600
    (tmp_path / SESSION_FILE).write_text("x")
    with pytest.raises(Failed, match="session-secret"):
        session_secret(tmp_path, entropy)
