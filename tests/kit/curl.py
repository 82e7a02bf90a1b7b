"""What the manual asks of curl, in Python, for a machine that has none. Other options are refused."""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit


def main() -> int:
    """Send one request and print the answer as it comes; gives curl's exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-d", "--data", "--data-binary", default=None)
    parser.add_argument("-f", "--fail-with-body", action="store_true")
    for option in (("-s", "--silent"), ("-S", "--show-error"), ("-N", "--no-buffer")):
        parser.add_argument(*option, action="store_true")
    parser.add_argument("--noproxy")
    asked = parser.parse_args()
    given = [line for each in asked.header for line in (read(each[1:]).splitlines() if each[:1] == "@" else [each])]
    headers = dict(line.split(": ", 1) for line in given if line)
    at = urlsplit(asked.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port or 80, timeout=60)
    try:
        body = None if asked.data is None else read(asked.data[1:]) if asked.data[:1] == "@" else asked.data
        target = (at.path or "/") + (f"?{at.query}" if at.query else "")
        connection.request("GET" if body is None else "POST", target, body and body.encode(), headers)
        answer = connection.getresponse()
        while part := answer.read1():
            sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()
    finally:
        connection.close()
    return 22 if asked.fail_with_body and answer.status >= 400 else 0


def read(path: str) -> str:
    """Give the text of a file; ``-`` is the standard input."""
    return sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")


def stand_in(folder: Path) -> None:
    """Put this program on the PATH as ``curl``, for this process and its children, where there is none."""
    if shutil.which("curl") is None:
        program = folder / "curl"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" "$@"\n')
        program.chmod(0o700)
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


if __name__ == "__main__":
    sys.exit(main())
