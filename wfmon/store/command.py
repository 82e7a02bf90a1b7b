"""``-m wfmon store ACTION``: read the options, do it, say what was done.

Exit codes: 0 when it was done, 1 when ``check`` found something or ``forget`` awaits --yes, 2 when it could not be.
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

HELP = "look after the history: what it holds, whether it is well, copies of it, and what it should forget"
EXAMPLES = """examples:
  %(prog)s info
  %(prog)s check
  %(prog)s backup ~/wfmon-backup.db       the monitor may run
  %(prog)s restore ~/wfmon-backup.db      the monitor must not run
  %(prog)s forget --before "7 days"       show what would be deleted; with --yes, delete it
  %(prog)s forget --series 'model.ttft_ms{model="m",server="s"}' --yes
"""
LARGEST = 10
"""Series that ``info`` names; --json has them all."""
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
    of_all.add_argument("--data", type=Path, metavar="DIR", help="the data folder (default: as the monitor's)")
    of_json = argparse.ArgumentParser(add_help=False)
    of_json.add_argument("--json", action="store_true", help="as JSON, for scripts: times are UTC milliseconds")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("info", parents=[of_all, of_json], help="what the history holds, and how large it is")
    actions.add_parser("check", parents=[of_all, of_json], help="read all of it and tell what is wrong with it")
    actions.add_parser("compact", parents=[of_all], help="give free room in the file back to the disk")
    backup = actions.add_parser("backup", parents=[of_all], help="copy it to FILE, and verify the copy")
    backup.add_argument("file", type=Path, metavar="FILE", help="where the copy goes")
    backup.add_argument("--force", action="store_true", help="replace FILE if it is there")
    restore = actions.add_parser("restore", parents=[of_all], help="put FILE in its place; the present one is kept")
    restore.add_argument("file", type=Path, metavar="FILE", help="a backup")
    forget = actions.add_parser("forget", parents=[of_all], help="delete a part of it for good, or all")
    which = forget.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--before",
        metavar="T",
        help='all that is older: "2026-11-01", "2026-11-01 12:00" (your zone), or "7 days", "12 h"',
    )
    which.add_argument("--series", metavar="NAME", help='one series, name{label="v"}, or all of a metric, name')
    which.add_argument("--all", action="store_true", help="everything")
    forget.add_argument("--yes", action="store_true", help="do it; without this it is only told what would go")


def run(given: argparse.Namespace) -> int:
    """Do it; gives the exit code. Raises CommandError."""
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
    """Read an instant (UTC milliseconds) that is past: an ISO date or time of the user's zone, or a span before now.

    Raises CommandError.
    """
    span = _SPAN.fullmatch(text.strip().lower())
    if span and span[2] in _SECONDS:
        return now_ms - round(float(span[1]) * _SECONDS[span[2]] * 1_000)
    try:
        found = round(datetime.fromisoformat(text.strip()).astimezone().timestamp() * 1_000)
    except (ValueError, OverflowError, OSError):
        raise CommandError(
            f'--before {text} is no time: give a date ("2026-11-01"), a time ("2026-11-01 12:00"), '
            'or a span before now ("7 days", "12 h").'
        ) from None
    if found > now_ms:
        raise CommandError(f"--before {text} lies ahead ({local(found)}): give a time that is past, or --all.")
    return found


def local(ms: float) -> str:
    """Give an instant (UTC milliseconds) in the user's zone."""
    return datetime.fromtimestamp(ms / 1_000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def size(n: float) -> str:
    """Give bytes with their unit, in steps of 1,000."""
    for unit in ("B", "kB", "MB"):
        if abs(n) < 1_000:
            return f"{n:,.0f} B" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1_000
    return f"{n:,.1f} GB"


def _say(*lines: str) -> None:
    print("\n".join(lines), flush=True)  # noqa: T201  the command's answer


def _info(given: argparse.Namespace, path: Path, clock: Clock) -> int:
    del clock
    found = maintenance.info(path)
    if given.json:
        _say(json.dumps(asdict(found), indent=1))
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
    _say(*(f"{name:<12} {text}" for name, text in rows), *_copies(found.copies))
    return 0


def _check(given: argparse.Namespace, path: Path, clock: Clock) -> int:
    del clock
    found = maintenance.check(maintenance.there(path))
    if given.json:
        _say(json.dumps({"ok": not found.problems, **found._asdict()}, indent=1))
    elif found.problems:
        _say(*found.problems, f"{path} is damaged. Put a backup in its place: {_command('restore', 'FILE')}")
    else:
        _say(f"{path} is well: {found.chunks:,} chunks and {found.seconds:,} seconds of the journal were read.")
    return 1 if found.problems else 0


def _compact(given: argparse.Namespace, path: Path, clock: Clock) -> int:
    del given
    with maintenance.alone(maintenance.there(path).parent, clock):
        shrunk = maintenance.compact(path)
    _say(f"{path} took {size(shrunk.before)} and takes {size(shrunk.after)} now.")
    return 0


def _backup(given: argparse.Namespace, path: Path, clock: Clock) -> int:
    del clock
    made = maintenance.backup(path, given.file, force=given.force)
    _say(f"The history was copied to {given.file} and verified: {size(made.bytes)}, {_rows(made.rows)}.")
    return 0


def _restore(given: argparse.Namespace, path: Path, clock: Clock) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with maintenance.alone(path.parent, clock):
        made, aside = maintenance.restore(path, given.file, clock.now_ms())
    _say(f"{given.file} is the history now, verified: {size(made.bytes)}, {_rows(made.rows)}.")
    if aside is not None:
        _say(f"The one before is kept as {aside}. Delete it when you need it no more.")
    return 0


def _forget(given: argparse.Namespace, path: Path, clock: Clock) -> int:
    asked = _asked(given, clock.now_ms())
    heads = [f"Before {local(asked.t_ms)}:"] if isinstance(asked, Before) else []
    maintenance.there(path)
    if not given.yes:
        with database.reading(path) as connection:
            maintenance.known(connection)
            tally = maintenance.preview(connection, asked)
        _say(*heads, *_told(tally, "would be deleted"), *_copies(_other_copies(path, asked)))
        _say("Nothing was deleted. Stop the monitor if it runs, then run this again with --yes added.")
        return 1
    with maintenance.alone(path.parent, clock):
        with closing(database.open_writer(path)) as connection:
            tally = maintenance.forget(connection, asked)
        if isinstance(asked, Everything):
            maintenance.forget_asides(path)
    _say(*heads, *_told(tally, "deleted"), *_copies(_other_copies(path, asked)))
    return 0


def _asked(given: argparse.Namespace, now_ms: int) -> Asked:
    if given.all:
        return Everything()
    return Named(given.series) if given.before is None else Before(instant(given.before, now_ms))


def _other_copies(path: Path, asked: Asked) -> list[tuple[str, int]]:
    """Give the copies that ``forget`` leaves alone."""
    return [
        (each.name, each.stat().st_size)
        for each in maintenance.copies(path)
        if not (isinstance(asked, Everything) and maintenance.is_aside(path, each))
    ]


def _told(tally: Tally, what: str) -> list[str]:
    lines = [
        f"{removed.rows:>9,}  {_NAMES[table]:<26} {size(removed.bytes):>9}"
        for table, removed in tally.removed.items()
        if removed.rows
    ]
    if tally.cut.rows:
        lines.append(f"{tally.cut.rows:>9,}  {'rewritten without a part':<26} {size(tally.cut.bytes):>9}")
    return [*lines, f"{size(tally.bytes)} {what}."] if lines else [f"Nothing {what}: there is no such thing."]


def _copies(copies: list[tuple[str, int]]) -> list[str]:
    if not copies:
        return []
    names = ", ".join(f"{name} ({size(taken)})" for name, taken in copies)
    return [f"The folder holds copies of the history beside it, which stay as they are: {names}"]


def _rows(rows: dict[str, int]) -> str:
    return ", ".join(f"{rows[table]:,} {_NAMES[table]}" for table in ("series", "chunk", "request") if table in rows)


def _sentence(error: Exception, path: Path) -> str:
    """Say what happened, to what, and what to do."""
    if isinstance(error, database.NotOurs):
        words = {"empty": "is empty", "foreign": "is not one of wfmon's files"}
        return f"The file {words.get(error.what, 'is damaged')}: nothing was done. Name another with --data or as FILE."
    if isinstance(error, sqlite3.Error):
        if database.is_locked(error):
            return f"Another program holds {path}: close it, then run this again."
        if database.is_full(error):
            return f"There is no room: free twice what the history takes (see {_command('info')}), then try again."
        if database.is_corrupt(error):
            return f"{path} is damaged: put a backup in its place with {_command('restore', 'FILE')}"
        return f"SQLite could not do it ({error}). See what this says: {_command('check')}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be used ({error.strerror}): mend its permissions, or name another."
    return f"It could not be done ({error})."


def _command(*arguments: str) -> str:
    return commands.typed("-m", "wfmon", "store", *arguments)
