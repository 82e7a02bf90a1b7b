"""``-m wfmon COMMAND``: what does not need the page. A command is one row of COMMANDS.

Exit codes: 0 after an orderly end, 2 when it could not start; one sentence on stderr then says why and what to do.
A command may give 1 to a meaning of its own.
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
"""Name -> module, loaded only for its command: it has HELP, EXAMPLES, options(parser) and run(options)."""
EXAMPLES = """examples:
  %(prog)s proxy --upstream http://127.0.0.1:11434 --listen 127.0.0.1:11500
  %(prog)s proxy --help
  %(prog)s store info
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog=commands.typed("-m", "wfmon"),
        description=f"wfmon's commands that need no page. The monitor itself: {commands.app()}",
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
