"""The rules of policies as text; what they do to packets is in test_policy_walls."""

from ipaddress import IPv4Address

import pytest

from skerry.host import nftables, policy_table
from skerry.host.network_plan import network_plan
from skerry.host.policy_sets import Element, elements_of
from skerry.host.policy_table import WallNote

PLAN = network_plan("test", "10.213.0.0/16", [], 100)
NOTE = WallNote(5, "box_5", "0123abcd")
ADDRESS = IPv4Address("203.0.113.1")


def test_groups_of_instances_are_in_the_upper_half_and_their_own():
    other = network_plan("testb", "10.214.0.0/16", [], 100)

    assert 1 << 15 <= policy_table.log_group(PLAN) < 1 << 16
    assert policy_table.log_group(PLAN) != policy_table.log_group(other)


def test_a_kernel_without_reports_gets_no_rule_for_them():
    assert " log group " in policy_table.wall(PLAN, NOTE, [], log=True)
    assert " log " not in policy_table.wall(PLAN, NOTE, [], log=False)


@pytest.mark.machine
@pytest.mark.usefixtures("own_network")
def test_walls_are_read_back_with_what_was_noted():
    notes = [NOTE, WallNote(0xFFFF, "box_x", "unsettled")]
    given = [Element(ADDRESS, 60_000, "a.example"), Element(ADDRESS + 1, 60_000, "a" * 200)]

    for _ in range(2):
        nftables.run(policy_table.base(PLAN))
        for note in notes:
            nftables.run(policy_table.wall(PLAN, note, given, log=True))
    nftables.run(policy_table.settled(PLAN, 5))

    listing = nftables.outline(f"list table inet {PLAN.policy_table}\n")
    unsettled = nftables.run(f"list set inet {PLAN.policy_table} unsettled\n")
    assert sorted(policy_table.walls_in(listing), key=lambda each: each.slot) == notes
    assert set(policy_table.links_in(unsettled)) == {"sktest-ffff"}
    # A name that is too long for a comment is left out rather than cut to another name.
    assert {e.comment for e in elements_of(PLAN.policy_table, "allowed_5")} == {"a.example", ""}


@pytest.mark.machine
@pytest.mark.usefixtures("own_network")
def test_a_wall_that_is_taken_away_leaves_nothing():
    nftables.run(policy_table.base(PLAN))
    empty = nftables.run("list ruleset\n")

    nftables.run(policy_table.wall(PLAN, NOTE, [Element(ADDRESS, 60_000, "")], log=True))
    nftables.run(policy_table.opening(PLAN, 5))

    assert nftables.run("list ruleset\n") == empty
    nftables.run(policy_table.removal(PLAN))
    assert nftables.run("list ruleset\n") == ""


@pytest.mark.machine
@pytest.mark.usefixtures("own_network")
def test_the_probe_of_reports_is_understood():
    nftables.check(policy_table.LOG_FEATURE.commands)

    assert nftables.run("list tables\n") == ""
