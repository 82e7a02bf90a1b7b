from __future__ import annotations

from wfmon.collect.models.ingest.events import EventSource
from wfmon.collect.models.meter.owners import ALIVE_US, MAX_SERVERS, Owners


def source(via="hook"):
    return EventSource("sender-0001", via, "prog", "", 0, "")


def test_of_more_servers_than_may_be_remembered_those_that_rest_longest_are_forgotten():
    owners, hook = Owners(), source()
    owners.touch("busy:1", hook, 0, 1)
    for at in range(3 * MAX_SERVERS):
        owners.touch(f"flood:{at}", hook, at, 1)
        owners.touch(f"flood:{at}", hook, at, -1)
    assert len(owners._seen) <= MAX_SERVERS
    assert owners.of("busy:1", 2 * ALIVE_US) == "hook"  # a request is open there
    assert owners.of(f"flood:{3 * MAX_SERVERS - 1}", 3 * MAX_SERVERS) == "hook"
    assert owners.of("flood:0", 3 * MAX_SERVERS) == "scrape"


def test_what_is_no_longer_alive_is_let_go_of():
    owners, hook = Owners(), source()
    owners.touch("a:1", hook, 0, 1)
    owners.touch("b:1", hook, 0, 1)
    owners.touch("b:1", hook, 0, -1)
    owners.expire(ALIVE_US + 1)
    assert owners.of("a:1", ALIVE_US + 1) == "hook"
    assert list(owners._seen) == [("a:1", "hook")]
