"""The pure rules of boxes."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base import Invalid, LimitReached
from skerry.boxes.model import (
    Box,
    Checkpoint,
    DeleteStrayCheckpoint,
    DeleteStrayDisks,
    DeleteStrayImage,
    DropRestore,
    FinishRestore,
    ForgetBox,
    ForgetCheckpoint,
    Found,
    Image,
    PartialLimits,
    PendingRestore,
    Recorded,
    Repair,
    StopStray,
    check_environment,
    check_labels,
    free_slot,
    plan_repairs,
    settle_limits,
    surplus_autos,
)
from skerry.host.seam import BoxDisk, BoxLimits

LIMITS = BoxLimits(cpus=2, memory_bytes=1 << 30, disk_bytes=1 << 33, processes=512)
BOX = Box("box_a", "a", 2, "base", LIMITS, (), {}, 1, 1)
V1 = Checkpoint("box_a", "v1", 1, 1, "", is_auto=False)
AUTO = Checkpoint("box_a", "auto-2", 2, 2, "", is_auto=True)
RESTORE = PendingRestore("box_a", "v1", AUTO, old_disk_id=300)
IMAGE = Image("img_a", "base", 1, "recipe base")


def plan(recorded: Recorded, found: Found) -> list[Repair]:
    return plan_repairs(recorded, found)


def test_what_agrees_needs_no_repair() -> None:
    recorded = Recorded([BOX], [V1], [], [IMAGE])
    found = Found({"box_a": BoxDisk(300, {"v1": 301})}, {"box_a"}, {"img_a"})

    assert plan(recorded, found) == []


def test_what_has_no_row_is_removed() -> None:
    found = Found({"box_b": BoxDisk(300)}, {"box_b"}, {"img_b"})

    assert plan(Recorded([], [], [], []), found) == [
        StopStray("box_b"),
        DeleteStrayDisks("box_b"),
        DeleteStrayImage("img_b"),
    ]


def test_a_destroyed_box_does_not_run() -> None:
    gone = dataclasses.replace(BOX, destroyed_at_ns=5, purge_at_ns=6)
    found = Found({"box_a": BoxDisk(300)}, {"box_a"}, set())

    assert plan(Recorded([gone], [], [], []), found) == [StopStray("box_a")]


def test_a_purge_cut_short_is_finished() -> None:
    gone = dataclasses.replace(BOX, destroyed_at_ns=5, purge_at_ns=6)

    assert plan(Recorded([gone], [], [], []), Found({}, set(), set())) == [ForgetBox("box_a")]


@pytest.mark.parametrize(
    ("disk_id", "expected"),
    [(300, DropRestore(RESTORE)), (301, FinishRestore(RESTORE))],
    ids=["before the swap", "after the swap"],
)
def test_a_restore_cut_short_is_settled_by_the_disk_that_is_there(
    disk_id: int, expected: Repair
) -> None:
    recorded = Recorded([BOX], [V1], [RESTORE], [])
    found = Found({"box_a": BoxDisk(disk_id, {"v1": 299, "auto-2": 302})}, set(), set())

    assert plan(recorded, found) == [expected]


def test_a_checkpoint_without_a_row_was_never_acknowledged() -> None:
    found = Found({"box_a": BoxDisk(300, {"v1": 301, "v2": 302})}, set(), set())

    assert plan(Recorded([BOX], [V1], [], []), found) == [DeleteStrayCheckpoint("box_a", "v2")]


def test_a_checkpoint_without_data_was_being_deleted() -> None:
    found = Found({"box_a": BoxDisk(300)}, set(), set())

    assert plan(Recorded([BOX], [V1], [], []), found) == [ForgetCheckpoint("box_a", "v1")]


@given(st.sets(st.integers(2, 40)))
def test_a_free_slot_is_the_lowest_not_taken(taken: set[int]) -> None:
    slot = free_slot(taken, 60)

    assert slot not in taken
    assert all(lower in taken for lower in range(2, slot))


def test_no_slot_left_is_said_so() -> None:
    with pytest.raises(LimitReached, match="no address left"):
        free_slot({2, 3}, 3)


def test_limits_not_asked_for_stay_as_they_are() -> None:
    settled = settle_limits(PartialLimits(cpus=0.5), LIMITS)

    assert settled == dataclasses.replace(LIMITS, cpus=0.5)


def test_the_oldest_automatic_checkpoints_go_first() -> None:
    autos = [dataclasses.replace(AUTO, name=f"auto-{n}", number=n) for n in (5, 3, 4)]

    assert [c.number for c in surplus_autos([*autos, V1], 1)] == [3, 4]


def test_labels_are_unique_and_short() -> None:
    assert check_labels(["a", "b", "a"]) == ("a", "b")
    with pytest.raises(Invalid):
        check_labels(["x" * 64])
    with pytest.raises(Invalid):
        check_labels([f"l{n}" for n in range(33)])


@pytest.mark.parametrize("name", ["", "A=B", "A\0"])
def test_a_variable_that_cannot_be_set_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="cannot be set"):
        check_environment({name: "value"})
