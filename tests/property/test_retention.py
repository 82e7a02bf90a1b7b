"""What a preview of retention tells is what retention then deletes, whatever is in the file."""

from __future__ import annotations

from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from wfmon.store.database import open_writer
from wfmon.store.retention import TABLES, Keep, preview, retain
from wfmon.store.tiers import TIERS

DAY_S = 86_400
NOW_S = 1_700_000_000
days = st.floats(0.02, 40, allow_nan=False)
chunks = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 60 * DAY_S), st.integers(1, 4), st.integers(1, 900)), max_size=40
)
instants = st.lists(st.tuples(st.sampled_from(TABLES), st.integers(-DAY_S, 60 * DAY_S)), max_size=15)


def fill(connection, chunks, instants):
    """Chunks of (tier, age in seconds, seal, bytes); rows of (table, age)."""
    for number, (tier, age_s, seal, size) in enumerate(chunks):
        start_s = (NOW_S - age_s) // TIERS[tier].chunk_s * TIERS[tier].chunk_s
        connection.execute(
            "INSERT INTO chunk (tier, start_s, series, seal, bytes, data) VALUES (?, ?, ?, ?, ?, zeroblob(?))",
            (tier, start_s, number, seal, size, size),
        )
    for number, ((table, column), age_s) in enumerate(instants):
        others = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[3] and row[1] != "id"]
        values = dict.fromkeys(others, 0) | {column: (NOW_S - age_s) * 1_000, "id": number}
        connection.execute(
            f"INSERT INTO {table} ({','.join(values)}) VALUES ({','.join('?' * len(values))})", list(values.values())
        )


def held(connection):
    """Rows, bytes and the newest start of each tier and table."""
    tiers = {
        tier.number: connection.execute(
            "SELECT id, bytes, start_s FROM chunk WHERE tier = ?", (tier.number,)
        ).fetchall()
        for tier in TIERS
    }
    tables = {
        name: [
            (at, sum(len(str(value)) for value in values if value is not None), t_s)
            for at, t_s, *values in connection.execute(f"SELECT rowid, {column} / 1000, * FROM {name}")
        ]
        for name, column in TABLES
    }
    return tiers | tables


@given(chunks, instants, st.lists(days, min_size=5, max_size=5), st.lists(days, min_size=3, max_size=3),
       st.sets(st.integers(1, 4)))  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_what_a_preview_tells_is_what_is_deleted(tmp_path_factory, chunks, instants, tier_days, table_days, live):
    keep = Keep.of(tier_days, dict(zip((name for name, _ in TABLES), table_days, strict=True)), 10**12)
    with closing(open_writer(tmp_path_factory.mktemp("store") / "wfmon.db")) as connection:
        fill(connection, chunks, instants)
        connection.executemany(
            "INSERT INTO seal (id, tier, start_s, upto, done) VALUES (?, 0, 0, 0, 1)", [(each,) for each in live]
        )
        told, before = preview(connection, keep, NOW_S), held(connection)
        while retain(connection, keep, NOW_S, sorted(live)):
            pass
        after = held(connection)
    for name, rows in before.items():
        gone = set(rows) - set(after[name])
        expected = (len(gone), sum(row[1] for row in gone), max((row[2] for row in gone), default=None))
        assert tuple(told.tiers[name] if isinstance(name, int) else told.tables[name]) == expected
