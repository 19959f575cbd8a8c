"""The command line: the parser, and nothing else.

Commands import what they need when they run, so that --help answers at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from scenequilt.memory_bank.errors import ScenequiltError
from scenequilt.tools.commands.bank import add_bank_command
from scenequilt.tools.commands.bench import add_bench_command
from scenequilt.tools.commands.compose import add_compose_command
from scenequilt.tools.commands.demo import add_demo_command
from scenequilt.tools.commands.inspect import add_inspect_command
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.commands.replay import add_replay_command
from scenequilt.tools.commands.toytown import add_toytown_command


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = argparse.ArgumentParser(
        prog="scenequilt",
        description="Turn labelled photographs you own into new labelled photographs of any layout.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('scenequilt')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_toytown_command(commands)
    add_inspect_command(commands)
    add_bank_command(commands)
    add_compose_command(commands)
    add_replay_command(commands)
    add_bench_command(commands)
    add_demo_command(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 done; 1 done, but something was left out and named; 2 refused, with the reason on
        standard error; 130 stopped from the keyboard.
    """
    args = build_parser().parse_args(argv)
    try:
        outcome: Outcome = args.run(args)
    except (ScenequiltError, ValueError, OSError) as error:
        print(f"scenequilt: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("scenequilt: stopped", file=sys.stderr)
        return 130
    try:
        if outcome.text:
            print(outcome.text, flush=True)
    except BrokenPipeError:
        # Whoever read the output has closed it, as head does; Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return outcome.status
