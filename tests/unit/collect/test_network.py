from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from wfmon.collect import diag
from wfmon.collect.network import COLUMNS, HIDDEN, NO_LOOPBACK, RETRY_HIDDEN_S, NetworkCollector
from wfmon.collect.sockets import LinuxSockets, address, is_loopback_interface
from wfmon.core.clock import FakeClock

DATA = Path(__file__).parents[2] / "data"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class NetworkHarness:
    def __init__(self, tmp_path):
        self.proc = tmp_path / "proc"
        shutil.copytree(DATA / "proc", self.proc)
        self.holds("self")
        self.clock, self.tables = FakeClock(), set()
        self.collector = NetworkCollector(self.clock, self.tables.__contains__, LinuxSockets(self.proc))

    def holds(self, pid, *inodes):
        fd = self.proc / pid / "fd"
        fd.mkdir(parents=True, exist_ok=True)
        for number, inode in enumerate(inodes):
            (fd / str(number)).symlink_to(f"socket:[{inode}]")

    def beat(self, seconds=1.0):
        self.clock.advance(seconds)
        self.frame = self.collector.collect()
        return {
            str(s).removeprefix("network."): v
            for s, v in zip(self.frame.layout.series, self.frame.values.tolist(), strict=True)
        }


@pytest.fixture
def harness(tmp_path):
    harness = NetworkHarness(tmp_path)
    yield harness
    harness.collector.close()


def test_loopback_traffic_is_that_of_lo_alone(harness):
    values = harness.beat()
    assert [values[f"loopback_{way}_{what}_per_second"] for way in ("rx", "tx") for what in ("bytes", "packets")] == [
        5_000_000, 4_000, 6_000_000, 4_100
    ]  # fmt: skip
    layout = harness.frame.layout
    harness.beat()
    assert harness.frame.layout is layout


def test_an_established_connection_has_two_ends_here_and_counts_once(harness):
    values = harness.beat()
    states = {k.partition('"')[2][:-2]: v for k, v in values.items() if "connections{" in k}
    # close_wait: ::ffff:127.0.0.1 is loopback too; the connection to 8.8.8.8 is none of loopback's
    assert {state: count for state, count in states.items() if count} == {
        "established": 1, "time_wait": 1, "close_wait": 1
    }  # fmt: skip
    assert len(states) == 10


def test_loopback_listeners_are_those_bound_to_loopback_alone(harness):
    assert harness.beat()["loopback_listeners"] == 2  # 127.0.0.1:9445 and [::1]:80


@pytest.mark.parametrize(
    ("inodes", "connections", "listeners"),
    [
        ((), 0, 0),
        ((1001, 1003, 2001, 2002, 3003), 0, 0),  # all loopback
        ((1005,), 1, 0),  # 192.168.0.5 -> 8.8.8.8:443
        ((3002,), 1, 0),  # a UDP socket with a peer
        ((1002,), 0, 1),  # 0.0.0.0
        ((1006,), 0, 1),  # 192.168.0.5, listening
        ((3001,), 0, 1),  # a UDP socket on every address
        ((1001, 1002, 1005, 1006, 3001, 3002), 2, 3),
    ],
)
def test_the_proof_of_locality_counts_the_monitors_own_sockets_that_leave_the_machine(
    harness, inodes, connections, listeners
):
    harness.holds("self", *inodes)
    values = harness.beat()
    assert (values["own_external_connections"], values["own_external_listeners"]) == (connections, listeners)


def test_who_listens_is_looked_up_only_while_watched(harness):
    harness.holds("77", 1001, 9999)
    harness.beat()
    assert harness.frame.tables == {}
    harness.tables.add("listeners")
    harness.beat()
    assert harness.frame.tables["listeners"].columns == COLUMNS
    assert harness.frame.tables["listeners"].rows == (
        (80, "::1", HIDDEN, None, 0),
        (9445, "127.0.0.1", "llama-server-cu", 77, 1),
        (11434, "0.0.0.0", HIDDEN, None, 0),
    )


def test_a_listener_that_cannot_be_seen_is_looked_for_again_only_after_a_while(harness):
    harness.tables.add("listeners")
    harness.beat()
    harness.holds("77", 1002)
    harness.beat(1)
    assert harness.frame.tables["listeners"].rows[2][2] == HIDDEN
    harness.beat(RETRY_HIDDEN_S)
    assert harness.frame.tables["listeners"].rows[2][2:4] == ("llama-server-cu", 77)


def test_a_machine_without_ipv6_or_loopback_counters_shows_the_rest(harness):
    (harness.proc / "net/tcp6").unlink()
    (harness.proc / "net/dev").write_text("Inter-|\n face |\n")
    values = harness.beat()
    assert values["loopback_listeners"] == 1
    assert values["loopback_rx_bytes_per_second"] != values["loopback_rx_bytes_per_second"]
    assert harness.frame.reasons["network.loopback_rx_bytes_per_second"] == NO_LOOPBACK


@pytest.mark.parametrize(
    ("digits", "order", "text", "loopback", "wildcard"),
    [
        (b"0100007F", "little", "127.0.0.1", True, False),
        (b"7F000001", "big", "127.0.0.1", True, False),
        (b"0200007F", "little", "127.0.0.2", True, False),
        (b"00000000", "little", "0.0.0.0", False, True),
        (b"0500A8C0", "little", "192.168.0.5", False, False),
        (b"00000000000000000000000001000000", "little", "::1", True, False),
        (b"00000000000000000000000000000001", "big", "::1", True, False),
        (b"00000000000000000000000000000000", "little", "::", False, True),
        (b"0000000000000000FFFF00000100007F", "little", "127.0.0.1", True, False),
        (b"0000000000000000FFFF00000500A8C0", "little", "192.168.0.5", False, False),
        (b"000080FE00000000FF005450B6AD1DFE", "little", "fe80::5054:ff:fe1d:adb6", False, False),
    ],
)
def test_an_address_is_read_in_the_machines_byte_order(digits, order, text, loopback, wildcard):
    assert address(digits, order) == (text, loopback, wildcard)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("lo", True), ("lo0", True), ("Loopback Pseudo-Interface 1", True), ("low", False), ("eth0", False)],
)
def test_loopback_is_told_by_its_name(name, expected):
    assert is_loopback_interface(name) is expected


@linux
def test_real_sockets_of_this_process_are_seen():
    collector = NetworkCollector(FakeClock(), lambda _: True)
    values = dict(zip(map(str, collector.collect().layout.series), collector.collect().values, strict=True))
    assert values["network.own_external_listeners"] == 0
    with socket.create_server(("127.0.0.1", 0)) as inside, socket.create_connection(inside.getsockname()):
        frame = collector.collect()
        port = inside.getsockname()[1]
        row = next(row for row in frame.tables["listeners"].rows if row[0] == port)
        assert (row[1], row[3]) == ("127.0.0.1", os.getpid())
        with socket.create_server(("0.0.0.0", 0)):
            after = collector.collect()
    at = [str(s) for s in frame.layout.series].index("network.own_external_listeners")
    assert (frame.values[at], after.values[at]) == (0, 1)
    collector.close()


@linux
def test_netlink_tells_what_proc_tells_of_every_socket():
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as other,
        socket.create_connection(one.getsockname()) as client,
        socket.create_connection(other.getsockname()[:2]) as client6,
    ):
        mine = {each.fileno() for each in (one, other, client, client6)}
        inodes = {os.fstat(number).st_ino for number in mine}
        ports = {each.getsockname()[1] for each in (one, other)}

        def of_ours(found):
            return {each for each in found if each.tcp and (each.owner in inodes or each.local[1] in ports)}

        proc = LinuxSockets()
        expected, found = of_ours(proc.sockets()), of_ours(diag.connections())
        proc.close()
        assert found == expected
        assert sorted(each.state for each in found) == ["established"] * 4 + ["listen"] * 2
        assert {each.local[1] for each in of_ours(diag.listening())} == ports


def test_where_the_kernel_refuses_netlink_proc_is_read_and_it_is_not_asked_again(harness):
    asked = []

    def refuses():
        asked.append(1)
        raise OSError("no such protocol")

    sockets = LinuxSockets(harness.proc, quick=refuses)
    assert set(sockets.sockets()) == set(LinuxSockets(harness.proc).sockets()) == set(sockets.sockets())
    assert asked == [1]
    sockets.close()


def test_what_netlink_tells_stands_beside_what_proc_tells_of_udp(harness):
    every = LinuxSockets(harness.proc).sockets()
    tcp = [each for each in every if each.tcp]
    sockets = LinuxSockets(harness.proc, quick=lambda: list(tcp))
    assert set(sockets.sockets()) == set(every)
    assert any(not each.tcp for each in every)
    sockets.close()
