"""Which servers this machine asks."""

from pathlib import Path

from skerry.host.resolvers import HostResolvers, Resolver, nameservers


def test_the_first_three_servers_are_asked():
    text = """
    # nameserver 192.0.2.99
    search example.org
    nameserver 192.0.2.1
    nameserver\t2001:db8::1 # inline
    nameserver not-an-address
    nameserver
    options edns0
    nameserver fe80::1%eth0
    nameserver 192.0.2.4
    """

    assert nameservers(text) == ("192.0.2.1", "2001:db8::1", "fe80::1%eth0")


def test_a_change_of_the_file_is_seen(tmp_path: Path):
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\n")
    resolvers = HostResolvers(str(path), str(tmp_path / "none"))
    before = resolvers()

    path.write_text("nameserver 192.0.2.100\n")

    assert before == (Resolver("192.0.2.1", 53),)
    assert resolvers() == (Resolver("192.0.2.100", 53),)


def test_the_servers_behind_a_stub_are_asked_directly(tmp_path: Path):
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    (tmp_path / "behind").write_text("nameserver 192.0.2.1\n")

    resolvers = HostResolvers(str(tmp_path / "resolv.conf"), str(tmp_path / "behind"))

    assert resolvers() == (Resolver("192.0.2.1", 53),)


def test_a_stub_with_nothing_behind_is_asked_itself(tmp_path: Path):
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\n")

    resolvers = HostResolvers(str(tmp_path / "resolv.conf"), str(tmp_path / "behind"))

    assert resolvers() == (Resolver("127.0.0.53", 53),)


def test_a_machine_without_the_file_has_no_servers(tmp_path: Path):
    assert HostResolvers(str(tmp_path / "none"), str(tmp_path / "none"))() == ()
