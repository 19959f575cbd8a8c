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
from scenequilt.tools.commands.canvases import add_canvases_command
from scenequilt.tools.commands.complete import add_complete_command
from scenequilt.tools.commands.compose import add_compose_command
from scenequilt.tools.commands.convert import add_convert_command
from scenequilt.tools.commands.demo import add_demo_command
from scenequilt.tools.commands.evaluate import add_evaluate_command
from scenequilt.tools.commands.experiment import add_experiment_command
from scenequilt.tools.commands.generate import add_generate_command
from scenequilt.tools.commands.inspect import add_inspect_command
from scenequilt.tools.commands.layouts import add_layouts_command
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.commands.replay import add_replay_command
from scenequilt.tools.commands.study import add_study_command
from scenequilt.tools.commands.toytown import add_toytown_command
from scenequilt.tools.commands.train import add_train_command

EXTRA_OF = {
    "torch": "evaluation",
    "torchmetrics": "evaluation",
    "safetensors": "evaluation",
    "matplotlib": "evaluation",
}
"""Extra that brings a library which pip install . alone does not."""


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
    add_layouts_command(commands)
    add_complete_command(commands)
    add_compose_command(commands)
    add_replay_command(commands)
    add_evaluate_command(commands)
    add_study_command(commands)
    add_experiment_command(commands)
    add_bench_command(commands)
    add_demo_command(commands)
    add_canvases_command(commands)
    add_train_command(commands)
    add_generate_command(commands)
    add_convert_command(commands)
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
    except ModuleNotFoundError as error:
        if error.name not in EXTRA_OF:
            raise
        print(
            f"scenequilt: this command needs {error.name}, which is not installed; install it with: "
            f"pip install 'scenequilt[{EXTRA_OF[error.name]}]'",
            file=sys.stderr,
        )
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
