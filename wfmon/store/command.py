"""``-m wfmon store ACTION``: the command line of the history.

Exit codes: 0 on success, 1 if ``check`` found a problem or ``forget`` needs --yes, 2 on an error.
"""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from wfmon.core import commands
from wfmon.core.clock import Clock, SystemClock
from wfmon.core.errors import CommandError, Refused
from wfmon.core.settings import data_folder
from wfmon.store import database, maintenance
from wfmon.store.deletion import Asked, Before, Everything, Named, NoSuchSeries, Remains, Tally

HELP = "manage the history: contents, integrity check, backup and restore, deletion"
EXAMPLES = """examples:
  %(prog)s info
  %(prog)s check
  %(prog)s backup ~/wfmon-backup.db       the monitor may run
  %(prog)s restore ~/wfmon-backup.db      the monitor must not run
  %(prog)s forget --before "7 days"       show what would be deleted; with --yes, delete it
  %(prog)s forget --series 'model.ttft_ms{model="m",server="s"}' --yes
"""
LARGEST = 10
"""Series listed by ``info``; --json has them all."""
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_UNITS = (
    (1, ("s", "second", "seconds")),
    (60, ("min", "minute", "minutes")),
    (3_600, ("h", "hour", "hours")),
    (86_400, ("d", "day", "days")),
    (604_800, ("w", "week", "weeks")),
)
_SECONDS = {word: seconds for seconds, words in _UNITS for word in words}
_NAMES = {
    "journal": "seconds not in chunks yet", "chunk": "chunks", "request": "requests",
    "annotation": "annotations", "alert": "alerts", "series": "series",
}  # fmt: skip


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's actions and options."""
    of_all = argparse.ArgumentParser(add_help=False)
    of_all.add_argument("--data", type=Path, metavar="DIR", help="the data folder (default: the monitor's)")
    of_json = argparse.ArgumentParser(add_help=False)
    of_json.add_argument("--json", action="store_true", help="output JSON, for scripts; times are UTC milliseconds")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("info", parents=[of_all, of_json], help="show what the history holds and its size")
    actions.add_parser("check", parents=[of_all, of_json], help="read the whole file and report problems")
    actions.add_parser("compact", parents=[of_all], help="return free space in the file to the disk")
    backup = actions.add_parser("backup", parents=[of_all], help="copy it to FILE and verify the copy")
    backup.add_argument("file", type=Path, metavar="FILE", help="where the copy goes")
    backup.add_argument("--force", action="store_true", help="replace FILE if it exists")
    restore = actions.add_parser("restore", parents=[of_all], help="replace the history by FILE; the old one is kept")
    restore.add_argument("file", type=Path, metavar="FILE", help="a backup")
    forget = actions.add_parser("forget", parents=[of_all], help="permanently delete a part of it, or all")
    which = forget.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--before",
        metavar="T",
        help='everything older: "2026-11-01", "2026-11-01 12:00" (your zone), or "7 days", "12 h"',
    )
    which.add_argument("--series", metavar="NAME", help='one series, name{label="v"}, or all series of a metric, name')
    which.add_argument("--all", action="store_true", help="everything")
    forget.add_argument("--yes", action="store_true", help="delete; without this, only show what would be deleted")


def run(given: argparse.Namespace) -> int:
    """Run the action; return the exit code. Raises CommandError."""
    clock = SystemClock()
    path = data_folder(given.data) / database.NAME
    action = {
        "info": _info, "check": _check, "compact": _compact, "backup": _backup, "restore": _restore, "forget": _forget,
    }[given.action]  # fmt: skip
    try:
        return action(given, path, clock)
    except NoSuchSeries as error:
        raise CommandError(f"{error} This lists all series: {_command('info', '--json')}") from None
    except (Refused, Remains, database.NewerSchema) as error:
        raise CommandError(str(error)) from None
    except (database.NotOurs, sqlite3.Error, OSError) as error:
        raise CommandError(_sentence(error, path)) from None


def instant(text: str, now_ms: int) -> int:
    """Parse a past instant (UTC milliseconds): an ISO date or time in the user's zone, or a span before now.

    Raises CommandError.
    """
    span = _SPAN.fullmatch(text.strip().lower())
    if span and span[2] in _SECONDS:
        return now_ms - round(float(span[1]) * _SECONDS[span[2]] * 1_000)
    try:
        found = round(datetime.fromisoformat(text.strip()).astimezone().timestamp() * 1_000)
    except (ValueError, OverflowError, OSError):
        raise CommandError(
            f'--before {text} is not a time: use a date ("2026-11-01"), a time ("2026-11-01 12:00"), '
            'or a span before now ("7 days", "12 h").'
        ) from None
    if found > now_ms:
        raise CommandError(f"--before {text} is in the future ({local(found)}): use a past time, or --all.")
    return found


def local(ms: float) -> str:
    """Format an instant (UTC milliseconds) in the user's zone."""
    return datetime.fromtimestamp(ms / 1_000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def size(n: float) -> str:
    """Format a number of bytes with its unit, in steps of 1,000."""
    for unit in ("B", "kB", "MB"):
        if abs(n) < 1_000:
            return f"{n:,.0f} B" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1_000
    return f"{n:,.1f} GB"


def _print(*lines: str) -> None:
    print("\n".join(lines), flush=True)  # noqa: T201  the command's answer


def _info(given: argparse.Namespace, path: Path, clock: Clock) -> int:
    del clock
    found = maintenance.info(path)
    if given.json:
        _print(json.dumps(asdict(found), indent=1))
        return 0
    rows = [
        ("file", found.path),
        ("size", f"{size(found.bytes)}, of which free {size(found.free_bytes)}; its WAL {size(found.wal_bytes)}"),
        ("form", str(found.version)),
    ]  # fmt: skip
    if found.first_ms is not None and found.end_ms is not None:
        rows.append(("from", local(found.first_ms)))
        rows.append(("to", local(found.end_ms)))
    rows.append(("seconds", f"{found.journal_seconds:,} not in chunks yet"))
    for tier in found.tiers:
        since = f", from {local(tier['first_s'] * 1_000)}" if tier["first_s"] is not None else ""
        rows.append((f"tier {tier['name']}", f"{tier['chunks']:,} chunks, {size(tier['bytes'] or 0)}{since}"))
    rows += [(_NAMES[table], f"{number:,}") for table, number in found.tables.items()]
    rows.append(("series", f"{len(found.series):,}"))
    rows += [("", f"{size(taken):>9}  {text}") for text, taken in found.series[:LARGEST]]
    if len(found.series) > LARGEST:
        rows.append(("", f"{'...':>9}  --json names them all"))
    _print(*(f"{name:<12} {text}" for name, text in rows), *_copies(found.copies))
    return 0


def _check(given: argparse.Namespace, path: Path, clock: Clock) -> int:
    del clock
    found = maintenance.check(maintenance.there(path))
    if given.json:
        _print(json.dumps({"ok": not found.problems, **found._asdict()}, indent=1))
    elif found.problems:
        _print(*found.problems, f"{path} is damaged. Restore a backup: {_command('restore', 'FILE')}")
    else:
        _print(f"{path} is intact: {found.chunks:,} chunks and {found.seconds:,} seconds of the journal were read.")
    return 1 if found.problems else 0


def _compact(given: argparse.Namespace, path: Path, clock: Clock) -> int:
    del given
    with maintenance.alone(maintenance.there(path).parent, clock):
        shrunk = maintenance.compact(path)
    _print(f"{path} took {size(shrunk.before)} and takes {size(shrunk.after)} now.")
    return 0


def _backup(given: argparse.Namespace, path: Path, clock: Clock) -> int:
    del clock
    made = maintenance.backup(path, given.file, force=given.force)
    _print(f"The history was copied to {given.file} and verified: {size(made.bytes)}, {_rows(made.rows)}.")
    return 0


def _restore(given: argparse.Namespace, path: Path, clock: Clock) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with maintenance.alone(path.parent, clock):
        made, aside = maintenance.restore(path, given.file, clock.now_ms())
    _print(f"{given.file} is the history now, verified: {size(made.bytes)}, {_rows(made.rows)}.")
    if aside is not None:
        _print(f"The previous one is kept as {aside}. Delete it when you no longer need it.")
    return 0


def _forget(given: argparse.Namespace, path: Path, clock: Clock) -> int:
    asked = _asked(given, clock.now_ms())
    heads = [f"Before {local(asked.t_ms)}:"] if isinstance(asked, Before) else []
    maintenance.there(path)
    if not given.yes:
        with database.reading(path) as connection:
            maintenance.known(connection)
            tally = maintenance.preview(connection, asked)
        _print(*heads, *_tally_lines(tally, "would be deleted"), *_copies(_other_copies(path, asked)))
        _print("Nothing was deleted. Stop the monitor if it is running, then run this again with --yes.")
        return 1
    with maintenance.alone(path.parent, clock):
        with closing(database.open_writer(path)) as connection:
            tally = maintenance.forget(connection, asked)
        if isinstance(asked, Everything):
            maintenance.forget_asides(path)
    _print(*heads, *_tally_lines(tally, "deleted"), *_copies(_other_copies(path, asked)))
    return 0


def _asked(given: argparse.Namespace, now_ms: int) -> Asked:
    if given.all:
        return Everything()
    return Named(given.series) if given.before is None else Before(instant(given.before, now_ms))


def _other_copies(path: Path, asked: Asked) -> list[tuple[str, int]]:
    """Return the copies that ``forget`` does not delete."""
    return [
        (each.name, each.stat().st_size)
        for each in maintenance.copies(path)
        if not (isinstance(asked, Everything) and maintenance.is_aside(path, each))
    ]


def _tally_lines(tally: Tally, what: str) -> list[str]:
    lines = [
        f"{removed.rows:>9,}  {_NAMES[table]:<26} {size(removed.bytes):>9}"
        for table, removed in tally.removed.items()
        if removed.rows
    ]
    if tally.cut.rows:
        lines.append(f"{tally.cut.rows:>9,}  {'rewritten without a part':<26} {size(tally.cut.bytes):>9}")
    return [*lines, f"{size(tally.bytes)} {what}."] if lines else [f"Nothing {what}: nothing matches."]


def _copies(copies: list[tuple[str, int]]) -> list[str]:
    if not copies:
        return []
    names = ", ".join(f"{name} ({size(taken)})" for name, taken in copies)
    return [f"The folder also holds copies of the history, which are not changed: {names}"]


def _rows(rows: dict[str, int]) -> str:
    return ", ".join(f"{rows[table]:,} {_NAMES[table]}" for table in ("series", "chunk", "request") if table in rows)


def _sentence(error: Exception, path: Path) -> str:
    """Return a sentence: what happened, to which file, and what to do."""
    if isinstance(error, database.NotOurs):
        words = {"empty": "is empty", "foreign": "is not one of wfmon's files"}
        return f"The file {words.get(error.what, 'is damaged')}: nothing was done. Choose another with --data or FILE."
    if isinstance(error, sqlite3.Error):
        if database.is_locked(error):
            return f"Another program has locked {path}: close it, then run this again."
        if database.is_full(error):
            return f"The disk is full: free twice the size of the history (see {_command('info')}), then try again."
        if database.is_corrupt(error):
            return f"{path} is damaged: restore a backup with {_command('restore', 'FILE')}"
        return f"SQLite failed ({error}). To find the cause, run: {_command('check')}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be used ({error.strerror}): fix its permissions, or choose another."
    return f"It failed ({error})."


def _command(*arguments: str) -> str:
    return commands.typed("-m", "wfmon", "store", *arguments)
