"""Object lock over the wire: headers and documents, and what keeps a version from going."""

import base64
import hashlib
from pathlib import Path

import pytest

from skerry.objects import buckets
from skerry.testing.clock import HandClock
from tests.s3.site import Answer, Site, tell

UNTIL = "2024-01-01T00:00:00.000Z"  # the clock of tests says 2023-11-14
LATER = "2024-02-01T00:00:00Z"
RULE = "<Rule><DefaultRetention><Mode>%s</Mode>%s</DefaultRetention></Rule>"
LOCK = "/locked?object-lock"


def configuration(rule: str = "", status: str = "Enabled") -> str:
    return (
        f"<ObjectLockConfiguration><ObjectLockEnabled>{status}</ObjectLockEnabled>{rule}"
        "</ObjectLockConfiguration>"
    )


def retention(mode: str, until: str) -> str:
    return f"<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"


def hold(status: str) -> str:
    return f"<LegalHold><Status>{status}</Status></LegalHold>"


async def send(site: Site, method: str, target: str, body: str = "", **headers: str) -> Answer:
    """Make a call whose body comes with its MD5."""
    digest = base64.b64encode(hashlib.md5(body.encode()).digest()).decode()
    return await site.call(method, target, body.encode(), content_md5=digest, **headers)


async def put_locked(site: Site, mode: str = "GOVERNANCE") -> str:
    """Put an object that is locked until 2024; return its version id."""
    await buckets.make(site.objects, "locked", "root", has_lock=True)
    made = await send(
        site, "PUT", "/locked/k", "x", x_amz_object_lock_mode=mode,
        x_amz_object_lock_retain_until_date=UNTIL,
    )  # fmt: skip
    assert made.status == 200, made
    return made.headers["x-amz-version-id"]


@pytest.mark.parametrize(
    ("target", "body", "headers", "code"),
    [
        ("/bkt?object-lock", configuration(), {}, "InvalidBucketState"),
        (LOCK, configuration(status="Disabled"), {}, "MalformedXML"),
        (LOCK, configuration("<Rule/>"), {}, "MalformedXML"),
        (LOCK, configuration(RULE % ("X", "<Days>1</Days>")), {}, "MalformedXML"),
        (LOCK, configuration(RULE % ("GOVERNANCE", "")), {}, "MalformedXML"),
        (LOCK, configuration(RULE % ("GOVERNANCE", "<Days>1</Days><Years>1</Years>")), {}, "MalformedXML"),
        (LOCK, configuration(RULE % ("GOVERNANCE", "<Days>x</Days>")), {}, "MalformedXML"),
        (LOCK, configuration(RULE % ("GOVERNANCE", "<Days>0</Days>")), {}, "InvalidArgument"),
        (LOCK, configuration(RULE % ("GOVERNANCE", "<Years>-1</Years>")), {}, "InvalidArgument"),
        ("/bkt/k?retention", retention("GOVERNANCE", UNTIL), {}, "InvalidRequest"),
        ("/bkt/k?legal-hold", hold("ON"), {}, "InvalidRequest"),
        ("/locked/none?legal-hold", hold("ON"), {}, "NoSuchKey"),
        ("/locked/k?legal-hold", hold("on"), {}, "MalformedXML"),
        ("/locked/k?retention", retention("GOVERNANCE", ""), {}, "MalformedXML"),
        ("/locked/k?retention", retention("governance", UNTIL), {}, "MalformedXML"),
        ("/locked/k?retention", retention("GOVERNANCE", "9999-12-31T00:00:00Z"), {}, "InvalidArgument"),
        ("/locked/k?retention", retention("COMPLIANCE", LATER), {}, "AccessDenied"),
        ("/locked?versioning", "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>", {}, "InvalidBucketState"),
        ("/bkt/k", "", {"x_amz_object_lock_legal_hold": "ON"}, "InvalidRequest"),
        ("/locked/k", "", {"x_amz_object_lock_legal_hold": "yes"}, "InvalidArgument"),
        ("/locked/k", "", {"x_amz_object_lock_mode": "GOVERNANCE"}, "InvalidArgument"),
        ("/locked/k", "", {"x_amz_object_lock_retain_until_date": UNTIL}, "InvalidArgument"),
        ("/locked/k", "", {"x_amz_object_lock_mode": "X", "x_amz_object_lock_retain_until_date": UNTIL}, "InvalidArgument"),
        ("/locked/k", "", {"x_amz_object_lock_mode": "GOVERNANCE", "x_amz_object_lock_retain_until_date": "soon"}, "InvalidArgument"),
        ("/locked/k", "", {"x_amz_object_lock_mode": "GOVERNANCE", "x_amz_object_lock_retain_until_date": "2020-01-01T00:00:00Z"}, "InvalidArgument"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_lock_is_told_as_aws_does(
    tmp_path: Path, target: str, body: str, headers: dict[str, str], code: str
) -> None:
    async def story(site: Site) -> None:
        await put_locked(site)

        answer = await send(site, "PUT", target, body, **headers)

        assert answer.code == code, answer

    tell(tmp_path, story)


def test_a_locked_version_stays_and_a_marker_hides_it(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        target = f"/locked/k?versionId={await put_locked(site, 'COMPLIANCE')}"
        told = await site.call("HEAD", target)
        assert told.headers["x-amz-object-lock-mode"] == "COMPLIANCE"
        assert told.headers["x-amz-object-lock-retain-until-date"] == UNTIL
        assert (await site.call("DELETE", "/locked/k")).status == 204
        gone = await site.call("DELETE", target, x_amz_bypass_governance_retention="true")
        assert gone.code == "AccessDenied"
        assert (await site.call("GET", target)).body == b"x"
        clock = site.objects.clock
        assert isinstance(clock, HandClock)
        clock.turn(60 * 86_400 * 10**9)
        assert (await site.call("DELETE", target)).status == 204

    tell(tmp_path, story)


def test_governance_yields_to_who_bypasses_it_and_a_hold_to_nobody(tmp_path: Path) -> None:
    bypass = {"x_amz_bypass_governance_retention": "true"}

    async def story(site: Site) -> None:
        target = f"/locked/k?versionId={await put_locked(site)}"
        held = target.replace("?", "?legal-hold&")
        retained = target.replace("?", "?retention&")
        assert (await send(site, "PUT", retained, retention("GOVERNANCE", LATER))).status == 200
        sooner = retention("GOVERNANCE", UNTIL)
        assert (await send(site, "PUT", retained, sooner)).code == "AccessDenied"
        assert (await send(site, "PUT", retained, sooner, **bypass)).status == 200
        assert UNTIL.encode() in (await site.call("GET", retained)).body
        assert (await send(site, "PUT", held, hold("ON"))).status == 200
        assert (await site.call("DELETE", target, b"", **bypass)).code == "AccessDenied"
        assert (await send(site, "PUT", held, hold("OFF"))).status == 200
        assert (await send(site, "PUT", retained, "<Retention/>")).code == "AccessDenied"
        assert (await site.call("DELETE", target, b"", **bypass)).status == 204

    tell(tmp_path, story)


def test_what_is_not_locked_says_so(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await buckets.make(site.objects, "locked", "root", has_lock=True)
        await site.call("PUT", "/locked/k", b"x")
        for target, code in (
            ("/bkt?object-lock", "ObjectLockConfigurationNotFoundError"),
            ("/bkt/k?retention", "InvalidRequest"), ("/bkt/k?legal-hold", "InvalidRequest"),
            ("/locked/k?retention", "NoSuchObjectLockConfiguration"),
            ("/locked/k?legal-hold", "NoSuchObjectLockConfiguration"),
        ):  # fmt: skip
            assert (await site.call("GET", target)).code == code

    tell(tmp_path, story)


def test_a_default_locks_what_is_put_with_a_digest(tmp_path: Path) -> None:
    rule = RULE % ("GOVERNANCE", "<Years>2</Years>")

    async def story(site: Site) -> None:
        await buckets.make(site.objects, "locked", "root", has_lock=True)
        assert (await send(site, "PUT", LOCK, configuration(rule))).status == 200
        assert rule.encode() in (await site.call("GET", LOCK)).body
        unsigned = await site.call(
            "PUT", "/locked/k", b"x", x_amz_content_sha256="UNSIGNED-PAYLOAD"
        )
        assert unsigned.code == "InvalidRequest"
        assert (await send(site, "PUT", "/locked/k", "x")).status == 200
        told = await site.call("GET", "/locked/k")
        assert told.headers["x-amz-object-lock-retain-until-date"].startswith("2025-11-14")
        await site.call("PUT", "/locked/copy", x_amz_copy_source="locked/k")
        assert (await site.call("GET", "/locked/copy?retention")).status == 200

    tell(tmp_path, story)
