"""What may become of a lock: nothing that it promises is ever taken back."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base import Denied, Invalid, SkerryError
from skerry.objects import buckets, locks, uploads, versions
from skerry.objects.locks import DefaultRetention, may_change
from skerry.objects.model import Bucket, Lock, Piece, Version
from skerry.objects.records import crc_of
from skerry.objects.versions import Told, check_lock
from tests.objects.place import Ground, content, put

DAY_NS = 86_400 * 10**9
moments = st.integers(0, 40).map(lambda day: day * DAY_NS)
given_locks = st.one_of(
    st.builds(Lock, is_held=st.booleans()),
    st.builds(Lock, st.sampled_from(["GOVERNANCE", "COMPLIANCE"]), moments, st.booleans()),
)


def is_deletable(lock: Lock, now_ns: int, *, bypasses: bool = False) -> bool:
    version = Version(
        bucket=1, key="k", version_id="v", sequence=1, modified_at_ns=0, lock=lock
    )  # fmt: skip
    try:
        check_lock(version, now_ns, bypasses_governance=bypasses)
    except Denied:
        return False
    return True


@given(given_locks, given_locks, moments, moments, st.booleans())
def test_no_change_makes_a_version_deletable_sooner(
    lock: Lock,
    new: Lock,
    now_ns: int,
    later_ns: int,
    bypasses: bool,  # noqa: FBT001 - a case gives it
) -> None:
    """Only who may bypass does that, and not for what is kept in COMPLIANCE."""
    new = Lock(new.mode, new.until_ns, lock.is_held)
    is_allowed = may_change(lock, new, now_ns, bypasses_governance=bypasses)

    if is_allowed and (lock.mode == "COMPLIANCE" or not bypasses):
        at_ns = max(now_ns, later_ns)
        for each in (False, True):
            was_deletable = is_deletable(lock, at_ns, bypasses=each)
            assert was_deletable or not is_deletable(new, at_ns, bypasses=each)


@pytest.mark.parametrize(
    ("lock", "new", "plain", "bypassing"),
    [
        (Lock(), Lock("COMPLIANCE", 5), True, True),
        (Lock("GOVERNANCE", 9), Lock("GOVERNANCE", 9), True, True),
        (Lock("GOVERNANCE", 9), Lock("GOVERNANCE", 8), False, True),
        (Lock("GOVERNANCE", 9), Lock("COMPLIANCE", 10), False, True),
        (Lock("GOVERNANCE", 9), Lock(), False, True),
        (Lock("COMPLIANCE", 9), Lock("COMPLIANCE", 10), True, True),
        (Lock("COMPLIANCE", 9), Lock("COMPLIANCE", 8), False, False),
        (Lock("COMPLIANCE", 9), Lock("GOVERNANCE", 10), False, False),
        (Lock("COMPLIANCE", 9), Lock(), False, False),
        (Lock("COMPLIANCE", 3), Lock(), True, True),
    ],
)
def test_a_retention_is_made_longer_by_all_and_weaker_by_few(
    lock: Lock, new: Lock, *, plain: bool, bypassing: bool
) -> None:
    now_ns = 3

    assert may_change(lock, new, now_ns, bypasses_governance=False) is plain
    assert may_change(lock, new, now_ns, bypasses_governance=True) is bypassing


@pytest.mark.parametrize(
    ("default", "now", "end"),
    [
        (DefaultRetention(mode="GOVERNANCE", days=1), 1_700_000_000, 1_700_086_400),
        (DefaultRetention(mode="GOVERNANCE", years=1), 1_700_000_000, 1_731_622_400),
        (DefaultRetention(mode="GOVERNANCE", years=1), 1_709_164_800, 1_740_787_200),  # 29 February
    ],
)
def test_a_default_lasts_days_or_years(default: DefaultRetention, now: int, end: int) -> None:
    bucket = Bucket(number=1, name="bkt", owner="me", created_at_ns=0, versioning="enabled")

    lock = locks.with_default(locks.locked(bucket, default), None, now * 10**9)

    assert lock == Lock("GOVERNANCE", end * 10**9)


def test_all_that_is_written_into_a_bucket_is_locked_by_its_default(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    default = DefaultRetention(mode="COMPLIANCE", days=2)

    async def story() -> list[Lock | None]:
        async with ground.open() as objects:
            bucket = await buckets.make(objects, "bkt", "me", has_lock=True)
            upload = await uploads.begin(objects, "bkt", "parts", "me", Told())
            piece = Piece(1, crc_of(b"1"))
            await uploads.put_part(objects, upload, 1, piece, [b"1"], b"m")
            await buckets.change(objects, "bkt", lambda each: locks.locked(each, default))
            await put(objects, "put", b"1")
            held = Told(lock=Lock(is_held=True))
            await versions.put(objects, "bkt", "held", content(b"1"), held)
            chosen = [uploads.Chosen(number=1, etag=b"m".hex())]
            await uploads.complete(objects, "bkt", "parts", upload.upload_id, chosen)
            keys = ("put", "parts", "held")
            return [versions.find(objects, bucket, key).version.lock for key in keys]

    until_ns = ground.clock.now_ns() + 2 * DAY_NS
    kept = Lock("COMPLIANCE", until_ns)
    assert asyncio.run(story()) == [kept, kept, msgspec.structs.replace(kept, is_held=True)]


@pytest.mark.parametrize(
    ("has_lock", "lock", "code"),
    [
        (False, Lock(is_held=True), "no_lock"),
        (True, Lock("GOVERNANCE", 1_700_000_000 * 10**9), "bad_retention"),
        (True, Lock("GOVERNANCE", 1 << 70), "bad_retention"),
        (True, Lock("GOVERNANCE", 1_700_000_001 * 10**9), None),
    ],
)
def test_a_lock_that_cannot_be_is_refused(
    tmp_path: Path, *, has_lock: bool, lock: Lock, code: str | None
) -> None:
    async def story() -> str | None:
        async with Ground(tmp_path).open() as objects:
            await buckets.make(objects, "bkt", "me", has_lock=has_lock)
            try:
                await uploads.begin(objects, "bkt", "k", "me", Told(lock=lock))
                await versions.put(objects, "bkt", "k", content(b""), Told(lock=lock))
            except SkerryError as error:
                return error.code
            return None

    assert asyncio.run(story()) == code


def test_a_bucket_without_versions_gets_no_lock() -> None:
    bucket = Bucket(number=1, name="bkt", owner="me", created_at_ns=0)

    with pytest.raises(SkerryError, match="versioning"):
        locks.locked(bucket, None)
    kept = msgspec.structs.replace(bucket, versioning="enabled")
    with pytest.raises(Invalid, match="default"):
        locks.locked(kept, DefaultRetention(mode="GOVERNANCE", years=101))
