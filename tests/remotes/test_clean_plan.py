"""What goes in a clean, on made-up listings."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from skerry.remotes.clean_plan import Rules, Upload, Version, goes, plan

MARKER = -1


def listed(key: str, *moments: int, markers: tuple[int, ...] = ()) -> list[Version]:
    """Return versions of a key, newest first, each named by the moment when it came."""
    return [
        Version(
            key=key, version_id=f"{key}{moment}", is_latest=at == 0, is_marker=moment in markers,
            size_bytes=1, modified_at_ns=moment,
        )
        for at, moment in enumerate(moments)
    ]  # fmt: skip


def ids(versions: list[Version], **rules: int) -> list[str]:
    return [each.version_id for each in plan(versions, Rules(**rules))]


def test_all_but_the_current_version_goes() -> None:
    assert ids(listed("a", 3, 2, 1) + listed("b", 5)) == ["a2", "a1"]


def test_a_marker_goes_after_all_that_it_hides() -> None:
    assert ids(listed("a", 3, 2, 1, markers=(3,))) == ["a2", "a1", "a3"]
    assert ids(listed("a", 3, markers=(3,)) + listed("b", 1)) == ["a3"]


def test_a_marker_that_hides_something_stays() -> None:
    versions = listed("a", 30, 20, 10, markers=(30,))

    assert ids(versions, keep=1) == ["a10"]
    assert ids(versions, hidden_before_ns=25) == ["a10"]


def test_the_newest_hidden_versions_are_kept_and_markers_among_them_are_not() -> None:
    assert ids(listed("a", 5, 4, 3, 2, 1, markers=(4,)), keep=2) == ["a4", "a1"]


def test_age_is_that_of_being_hidden() -> None:
    # Version 1 is the oldest, but it was hidden only when 90 came.
    assert ids(listed("a", 90, 1), hidden_before_ns=50) == []
    assert ids(listed("a", 90, 40, 1), hidden_before_ns=50) == ["a1"]


def test_the_first_of_a_key_stays_although_the_listing_calls_it_hidden() -> None:
    behind = [Version(
        key="a", version_id="v", is_latest=False, is_marker=False, size_bytes=1, modified_at_ns=1
    )]  # fmt: skip

    assert ids(behind) == []


def test_an_upload_goes_once_it_is_old() -> None:
    upload = Upload(key="a", upload_id="u", began_at_ns=10)

    assert goes(upload, Rules(began_before_ns=11))
    assert not goes(upload, Rules(began_before_ns=10))


versions_of_keys = st.lists(
    st.builds(
        Version, key=st.sampled_from("abc"), version_id=st.uuids().map(str),
        is_latest=st.booleans(), is_marker=st.booleans(), size_bytes=st.just(1),
        modified_at_ns=st.integers(0, 100), can_go=st.booleans(),
    ),
    max_size=30,
)  # fmt: skip
rules_of_all_kinds = st.builds(
    Rules, keep=st.integers(0, 3), hidden_before_ns=st.none() | st.integers(0, 100)
)


@given(versions_of_keys, rules_of_all_kinds)
def test_whatever_a_listing_says_nothing_that_it_calls_current_goes(
    versions: list[Version], rules: Rules
) -> None:
    going = [*plan(versions, rules)]

    assert not [each for each in going if each.is_latest and not each.is_marker]
    assert all(each.can_go for each in going)
    assert len({each.version_id for each in going}) == len(going)


@given(versions_of_keys, rules_of_all_kinds)
def test_what_was_deleted_never_comes_back(versions: list[Version], rules: Rules) -> None:
    """However far a clean comes before it is killed, no key has another current version."""
    versions.sort(key=lambda each: (each.key, not each.is_latest, -each.modified_at_ns))
    current = {key: next(found) for key, found in groupby(versions, key=lambda v: v.key)}
    left = dict.fromkeys(versions)

    for each in plan(versions, rules):
        del left[each]
        now = {key: next(found) for key, found in groupby(left, key=lambda v: v.key)}
        assert all(now.get(key, was) == was for key, was in current.items())
