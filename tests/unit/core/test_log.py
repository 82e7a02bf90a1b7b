"""The log: one object a line, private, rotated, without secrets."""

from __future__ import annotations

import io
import json
import logging
import stat

import pytest

from wfmon.core import log as core_log


@pytest.fixture
def started(tmp_path):
    """Start a log on tmp_path; gives it, what the terminal shows, and a reader of the lines."""
    console = io.StringIO()
    level = logging.getLogger().level
    opened = []

    def start(**more):
        options = {"level": "info", "max_bytes": 1_000_000, "keep": 2, **more}
        opened.append(core_log.start(tmp_path, console=console, **options))
        return opened[-1]

    def lines():
        return [json.loads(line) for line in (tmp_path / "logs" / "wfmon.log").read_text("utf-8").splitlines()]

    yield start, console, lines
    for one in opened:
        one.close()
    logging.captureWarnings(capture=False)
    logging.getLogger().setLevel(level)


log = logging.getLogger("wfmon.test")


def test_a_line_is_one_object(started):
    start, _, lines = started
    start()
    log.info("the %s is up", "collector")
    (line,) = lines()
    assert line.pop("t_ms") > 1_700_000_000_000
    assert line == {"level": "info", "logger": "wfmon.test", "thread": "MainThread", "message": "the collector is up"}


def test_untrusted_text_stays_on_its_line_and_off_the_terminals_cursor(started):
    start, console, lines = started
    start()
    log.warning('name\n{"level": "error"}\r\x1b[2J\u2028 ü')
    (line,) = lines()
    assert line["message"] == 'name\n{"level": "error"}\r\x1b[2J\u2028 ü'
    (shown,) = console.getvalue().splitlines()
    assert shown.endswith('warning name {"level": "error"}  [2J  ü')


def test_an_exception_is_told_in_the_file_and_named_on_the_terminal(started):
    start, console, lines = started
    start()
    log.error("it failed", exc_info=ValueError("odd"))
    (line,) = lines()
    assert line["error"] == "ValueError: odd"
    assert console.getvalue().endswith("error   it failed (ValueError)\n")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("GET /launch?code=abc-DEF_1 done", "GET /launch?(query) done"),
        ("Authorization: Bearer abc.DEF-1", "Authorization: Bearer (secret)"),
        ("token=abcdef x", "token=(secret) x"),
        ("cookie=0af3", "cookie=(secret)"),
        ("wfmon-9445=0af3; a", "wfmon-9445=(secret); a"),
        ("what now? nothing", "what now? nothing"),
        ("decode: fine, 3 tokens left", "decode: fine, 3 tokens left"),
    ],
)
def test_queries_and_secrets_are_struck_out(said, kept):
    assert core_log.redact(said) == kept


def test_a_flood_in_one_line_is_cut(started):
    start, _, lines = started
    start()
    log.info("x" * 1_000_000)
    assert lines()[0]["message"] == "x" * 8_000 + "... (1,000,000 characters)"


def test_files_are_private_rotated_and_bounded(started, tmp_path):
    start, _, _ = started
    start(max_bytes=1_000, keep=2)
    for number in range(100):
        log.info("line %d", number)
    files = sorted((tmp_path / "logs").iterdir())
    assert [path.name for path in files] == ["wfmon.log", "wfmon.log.1", "wfmon.log.2"]
    assert all(path.stat().st_size <= 1_000 for path in files)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700
    assert "line 99" in files[0].read_text()


def test_the_level_is_that_of_the_setting_and_chatter_is_kept_out(started):
    start, _, lines = started
    start(level="warning")
    log.info("no")
    log.warning("yes")
    logging.getLogger("werkzeug").info("127.0.0.1 GET /")
    assert [line["message"] for line in lines()] == ["yes"]


class FullDisk(io.StringIO):
    def write(self, _text):
        raise OSError(28, "No space left on device")


def test_lines_that_the_disk_does_not_take_are_counted_and_the_program_goes_on(started, capsys):
    start, _, _ = started
    opened = start()
    opened._file.setStream(FullDisk()).close()
    log.info("lost")
    assert opened.dropped == 1
    assert capsys.readouterr().err == ""


def test_closing_twice_is_harmless_and_ends_the_log(started, tmp_path):
    start, console, lines = started
    opened = start()
    opened.close()
    opened.close()
    log.warning("after")
    assert lines() == []
    assert "after" not in console.getvalue()
