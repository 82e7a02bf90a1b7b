"""Names that come from outside."""

from __future__ import annotations

NAME_CHARS = 64


def clean(name: str) -> str:
    """An untrusted name made fit to show: no control or other unprintable characters, at most 64 characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:NAME_CHARS])
