"""The tables. The monitor reads schema.sql, generated from this (``make docs``): SQLAlchemy would cost it 16 MB.

Short-lived programs (analysis, the command line) query with these tables. See docs/adr/0006-the-store.md.
"""

from __future__ import annotations

import re

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()

series = Table(
    "series", metadata,
    Column("id", Integer, primary_key=True, comment="1 to 65,535; never given to another"),
    Column("text", Text, nullable=False, unique=True, comment='name{label="value"}'),
    Column("name", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("first_s", Integer, nullable=False),
)  # fmt: skip

journal = Table(
    "journal", metadata,
    Column("seq", Integer, primary_key=True),
    Column("t_s", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False, comment="a second of all series: codec.decode_second"),
    sqlite_autoincrement=True,
)  # fmt: skip

seal = Table(
    "seal", metadata,
    Column("id", Integer, primary_key=True),
    Column("tier", Integer, nullable=False),
    Column("start_s", Integer, nullable=False),
    Column("upto", Integer, nullable=False, comment="tier 0: the last seq of the journal that it takes"),
    Column("done", Integer, nullable=False),
    Column("parent", Integer, comment="the seal of the next tier that takes it in, while that is made"),
    sqlite_autoincrement=True,
)  # fmt: skip
"""Seals in progress, or not yet folded into a coarser tier: a dozen rows."""

chunk = Table(
    "chunk", metadata,
    Column("id", Integer, primary_key=True),
    Column("tier", Integer, nullable=False),
    Column("start_s", Integer, nullable=False),
    Column("series", Integer, nullable=False),
    Column("seal", Integer, nullable=False),
    Column("bytes", Integer, nullable=False, comment="of data: counted from the index alone"),
    Column("data", LargeBinary, nullable=False, comment="codec.decode_chunk"),
)  # fmt: skip
Index("chunk_of", chunk.c.tier, chunk.c.series, chunk.c.start_s, chunk.c.seal, unique=True)
Index("chunk_at", chunk.c.tier, chunk.c.start_s, chunk.c.series, chunk.c.bytes)

request = Table(
    "request", metadata,
    Column("id", Text, primary_key=True),
    Column("started_ms", Integer, nullable=False),
    Column("ended_ms", Integer),
    Column("model", Text, nullable=False),
    Column("server", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("prompt_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("output_tokens", Integer, nullable=False),
    Column("queue_ms", Float),
    Column("load_ms", Float),
    Column("prompt_ms", Float),
    Column("ttft_ms", Float),
    Column("duration_ms", Float),
    Column("tokens_per_second", Float),
    Column("time_per_output_token_ms", Float),
    Column("entropy_bits", Float),
    Column("entropy_k", Integer),
    Column("energy", Float),
    Column("joules", Float),
    Column("slow", Integer),
    Column("stalls", Text, nullable=False, comment="JSON: [[ms since the start, ms long], ...]"),
    Column("causes", Text, nullable=False, comment="JSON: [{code, text, cost_ms}, ...]"),
    Index("request_at", "started_ms"),
)  # fmt: skip
"""One row per model request; there is no column for text."""

annotation = Table(
    "annotation", metadata,
    Column("id", Integer, primary_key=True),
    Column("t_ms", Integer, nullable=False),
    Column("kind", Text, nullable=False, comment="start, stop, clock_step, sleep, collector, model, store, ..."),
    Column("text", Text, nullable=False, comment="one sentence"),
    Index("annotation_at", "t_ms"),
)  # fmt: skip

alert = Table(
    "alert", metadata,
    Column("id", Integer, primary_key=True),
    Column("t_ms", Integer, nullable=False),
    Column("rule", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("series", Text, nullable=False),
    Column("value", Float),
    Column("text", Text, nullable=False),
    Index("alert_at", "t_ms"),
)  # fmt: skip


def sql() -> str:
    """Return the statements that create all tables and indexes: the content of schema.sql."""
    from sqlalchemy.dialects import sqlite
    from sqlalchemy.schema import CreateIndex, CreateTable

    dialect = sqlite.dialect()
    found = []
    for table in metadata.sorted_tables:
        found.append(str(CreateTable(table).compile(dialect=dialect)).strip())
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        found += [str(CreateIndex(index).compile(dialect=dialect)).strip() for index in indexes]
    return "".join(re.sub(r"\s*\n\s*", " ", each) + ";\n" for each in found)
