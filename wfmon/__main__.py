"""``-m wfmon COMMAND``: commands that do not need the page. Each is a row of COMMANDS.

Exit codes: 0 after a normal end, 2 if it could not start; a sentence on stderr then says why and what to do.
A command may define 1.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from wfmon.core import commands
from wfmon.core.errors import CommandError

COMMANDS = {
    "proxy": "wfmon.proxy.command",
    "store": "wfmon.store.command",
}
"""Name -> module with HELP, EXAMPLES, options(parser) and run(options); imported only for its command."""
EXAMPLES = """examples:
  %(prog)s proxy --upstream http://127.0.0.1:11434 --listen 127.0.0.1:11500
  %(prog)s proxy --help
  %(prog)s store info
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog=commands.typed("-m", "wfmon"),
        description=f"wfmon's commands without the page. To start the monitor: {commands.app()}",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=", ".join(COMMANDS))
    name = parser.parse_args(words[:1]).command
    command = importlib.import_module(COMMANDS[name])
    parser = argparse.ArgumentParser(
        prog=commands.typed("-m", "wfmon", name), description=command.HELP, epilog=command.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.options(parser)
    try:
        return int(command.run(parser.parse_args(words[1:])))
    except CommandError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
