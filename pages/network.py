"""Network: traffic on localhost, its listeners, and the proof that nothing leaves this machine."""

from __future__ import annotations

import dash
from dash.development.base_component import Component

from wfmon.ui.kit.panels import Group, Panel, page
from wfmon.ui.kit.parts import chart, note, proofs, stat, value
from wfmon.ui.kit.tables import listeners

dash.register_page(__name__, path="/network", name="Network", title="Network · wfmon", order=4, icon="network")

STATES = "network.loopback_connections"
STATE_COLORS = {
    "established": "--s-1",
    "time_wait": "--s-2",
    "close_wait": "--s-4",
    "syn_sent": "--s-5",
    "syn_recv": "--s-3",
    "fin_wait1": "--s-6",
    "fin_wait2": "--s-6",
    "closing": "--s-dim",
    "close": "--s-dim",
    "last_ack": "--s-dim",
}
"""TCP states, the most informative first. A growing `time_wait`: a program opens a connection per request."""

PROOF = Panel(
    "proof",
    "Proof of locality",
    proofs(
        ("network.own_external_connections", "wfmon connections that leave this machine"),
        ("network.own_external_listeners", "wfmon listeners that other machines can reach"),
        why="Counted once a second from the kernel's own tables. A connection of this process to anything but a "
        "loopback address, or a listener bound to anything else, is shown in red here and in the status bar. wfmon "
        "sends its measurements nowhere, and this page loads nothing from other hosts.",
    ),
    width=6,
    charted=False,
    collector="network",
)


TRAFFIC = Panel(
    "bytes",
    "Localhost traffic",
    chart(
        "network.loopback_rx_bytes_per_second",
        "network.loopback_tx_bytes_per_second",
        label="Bytes per second on loopback, received and sent",
        height=148,
        colors=("--s-6", "--s-2"),
        names=("received", "sent"),
        legend=True,
    ),
    width=8,
    now=value("network.loopback_rx_bytes_per_second"),
    foot=(
        stat("p95", "network.loopback_rx_bytes_per_second", "p95"),
        note("everything sent on loopback is received there too, so the lines overlap"),
    ),
    collector="network",
)

PACKETS = Panel(
    "packets",
    "Packets",
    chart(
        "network.loopback_rx_packets_per_second",
        "network.loopback_tx_packets_per_second",
        label="Packets per second on loopback, received and sent",
        height=148,
        colors=("--s-6", "--s-2"),
        names=("received", "sent"),
        legend=True,
    ),
    width=4,
    now=value("network.loopback_rx_packets_per_second"),
    foot=(stat("max", "network.loopback_rx_packets_per_second", "max"),),
    collector="network",
)

CONNECTIONS = Panel(
    "connections",
    "Connections by state",
    chart(
        *(f'{STATES}{{state="{state}"}}' for state in STATE_COLORS),
        label="TCP connections between programs on this machine, by state",
        height=124,
        colors=tuple(STATE_COLORS.values()),
        legend=True,
    ),
    width=6,
    now=value(f'{STATES}{{state="established"}}'),
    foot=(note("established"), note("total ", value(STATES))),
    collector="network",
)

LISTENERS = Panel(
    "listeners",
    "Listeners on localhost",
    listeners(),
    width=12,
    now=value("network.loopback_listeners"),
    foot=(note("updated only while this panel is visible; other users' processes have no name"),),
    charted=False,
    collector="network",
)


def layout(**_query: str) -> Component:
    """Lay out the page."""
    return page("network", "Network", Group((TRAFFIC, PACKETS, CONNECTIONS, PROOF, LISTENERS)))
