"""libnftables in this process, on the empty network of a new namespace."""

import threading

import pytest

from skerry.host import nftables
from skerry.host.nftables import RulesRefused

pytestmark = [pytest.mark.machine, pytest.mark.usefixtures("own_network")]


def test_commands_are_carried_out_and_print():
    nftables.run("add table inet mine\nadd chain inet mine first\n")

    assert nftables.run("list tables\n") == "table inet mine\n"


def test_of_commands_with_an_error_none_is_carried_out():
    with pytest.raises(RulesRefused, match="No such file or directory") as caught:
        nftables.run("add table inet mine\nadd rule inet mine nowhere accept\n")

    assert caught.value.code == "network_unavailable"
    assert nftables.run("list tables\n") == ""


def test_a_check_changes_nothing():
    nftables.check("add table inet mine\n")

    assert nftables.run("list tables\n") == ""


def test_a_check_finds_what_the_kernel_would_refuse():
    with pytest.raises(RulesRefused):
        nftables.check("delete table inet nowhere\n")


def test_nonsense_is_refused():
    with pytest.raises(RulesRefused, match="syntax error"):
        nftables.run("make it so\n")


def test_many_threads_take_turns():
    def add_tables(name: str) -> None:
        for number in range(10):
            nftables.run(f"add table inet {name}{number}\n")

    threads = [threading.Thread(target=add_tables, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert nftables.run("list tables\n").count("table inet") == 40
