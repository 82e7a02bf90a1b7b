"""Network: traffic on localhost, who listens there, and the proof that nothing leaves this machine."""

from __future__ import annotations

import dash
from dash.development.base_component import Component

from wfmon.ui.panels import Group, Panel, page
from wfmon.ui.parts import chart, must_be_zero, note, prose, stat, value
from wfmon.ui.tables import listeners

dash.register_page(__name__, path="/network", name="Network", title="Network · wfmon", order=3, icon="network")

PROOF = Panel(
    "proof",
    "Proof of locality",
    (
        must_be_zero("network.own_external_connections", "connections of wfmon that leave this machine"),
        must_be_zero("network.own_external_listeners", "listeners of wfmon that others can reach"),
        prose(
            "Counted once a second from the kernel's own tables: a connection of this process whose other end is not a "
            "loopback address, or a listener bound to anything but one, shows here in red and in the status bar. "
            "Nothing that wfmon measures is sent anywhere, and this page loads nothing from elsewhere."
        ),
    ),
    width=6,
    charted=False,
    collector="network",
)


def layout() -> Component:
    """Lay out the page."""
    return page(
        "network",
        "Network",
        Group(
            (
                Panel(
                    "bytes",
                    "Localhost traffic",
                    chart(
                        "network.loopback_rx_bytes_per_second",
                        "network.loopback_tx_bytes_per_second",
                        label="Bytes a second on loopback: received and sent",
                        height=148,
                        colors=("--s-6", "--s-2"),
                        names=("received", "sent"),
                        legend=True,
                    ),
                    width=8,
                    now=value("network.loopback_rx_bytes_per_second"),
                    foot=(
                        stat("p95", "network.loopback_rx_bytes_per_second", "p95"),
                        stat("max", "network.loopback_rx_bytes_per_second", "max"),
                    ),
                    collector="network",
                ),
                Panel(
                    "packets",
                    "Packets",
                    chart(
                        "network.loopback_rx_packets_per_second",
                        "network.loopback_tx_packets_per_second",
                        label="Packets a second on loopback: received and sent",
                        height=148,
                        colors=("--s-6", "--s-2"),
                        names=("received", "sent"),
                        legend=True,
                    ),
                    width=4,
                    now=value("network.loopback_rx_packets_per_second"),
                    foot=(stat("max", "network.loopback_rx_packets_per_second", "max"),),
                    collector="network",
                ),
                Panel(
                    "connections",
                    "Connections by state",
                    chart(
                        "network.loopback_connections",
                        label="TCP connections between programs of this machine, by state",
                        height=124,
                        colors=(None,),
                        legend=True,
                    ),
                    width=6,
                    now=value("network.loopback_connections"),
                    collector="network",
                ),
                PROOF,
                Panel(
                    "listeners",
                    "Who listens on localhost",
                    listeners(),
                    width=12,
                    now=value("network.loopback_listeners"),
                    foot=(
                        note("looked at only while this panel is in view; processes of other users have no name here"),
                    ),
                    charted=False,
                    collector="network",
                ),
            )
        ),
    )
