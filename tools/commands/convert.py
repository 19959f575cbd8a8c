"""The command convert: weights as the authors of a paper publish them, as this program's."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.settings import find_config, parse_override, read_tables
from scenequilt.tools.training.registry import GENERATOR_TITLES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from scenequilt.tools.training.jobs.generator import GeneratorJob

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

CONVERTED = {"pix2pixhd": "E.", "spade": ""}
"""Generators whose authors publish checkpoints of PyTorch, each with what is put before the names of
its encoder's tensors, which lie in a file of their own."""


def add_convert_command(commands: "Commands") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "convert",
        help="take over weights that the authors of a paper publish",
        description="Write the weights of a published PyTorch checkpoint as generate reads them. "
        "Nothing in the file is run. Channels of the layout are taken in the order of classes.json, "
        "whose classes must be the network's: for Cityscapes all 35 ids, without void "
        "(--set network.void_channel=...). The weights keep their authors' licence.",
    )
    parser.add_argument(
        "generator", choices=sorted(CONVERTED), metavar="NAME", help=" or ".join(CONVERTED)
    )
    parser.add_argument(
        "published", type=Path, metavar="FILE.pth", help="state dict of the generator, *_net_G.pth"
    )
    parser.add_argument(
        "--encoder", type=Path, metavar="FILE.pth",
        help="state dict of the style encoder, *_net_E.pth, where there is one",
    )  # fmt: skip
    parser.add_argument(
        "--styles", type=Path, metavar="DATASET",
        help="pix2pixhd with an encoder: photographs whose objects' styles it draws from; the "
        "published file of clusters is not read",
    )  # fmt: skip
    parser.add_argument(
        "--classes", type=Path, required=True, metavar="FILE", help="classes.json of the network"
    )
    parser.add_argument(
        "--config", metavar="FILE.toml",
        help="settings of the network (default: those of the paper)",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="TABLE.KEY=VALUE",
        help="replace a setting of the file, e.g. network.enhancers=1; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.safetensors", help="file to write"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE")
    parser.set_defaults(run=run_convert)


def run_convert(args: argparse.Namespace) -> Outcome:
    """Write the checkpoint.

    Raises:
        CheckpointError: If a file cannot be read, or does not fit the network.
        ValueError: If the file must not be written, or a setting is not known.
    """
    from scenequilt.memory_bank.errors import CheckpointError
    from scenequilt.memory_bank.taxonomy import read_taxonomy
    from scenequilt.tools.evaluation.file_hash import file_sha256
    from scenequilt.tools.settings import as_json
    from scenequilt.tools.training.checkpoint import (
        CheckpointCard,
        program_version,
        write_checkpoint,
    )
    from scenequilt.tools.training.jobs.generator import generator_job
    from scenequilt.tools.training.outputs import check_out
    from scenequilt.tools.training.training_settings import TrainingSettings

    check_out(args.out, force=args.force)
    job = generator_job(args.generator)
    kinds: dict[str, type[Any]] = {"training": TrainingSettings, **job.SETTINGS}
    overrides = [parse_override(text) for text in args.set]
    settings = read_tables(find_config(args.config or args.generator), kinds, overrides)["network"]
    taxonomy = read_taxonomy(args.classes)
    state = dict(_state_of(args.published))
    if args.encoder is not None:
        prefix = CONVERTED[args.generator]
        state |= {f"{prefix}{name}": value for name, value in _state_of(args.encoder).items()}
    published = job.baseline.published
    assert published is not None, "CONVERTED names those that have a key map"
    try:
        weights = published(state, len(taxonomy), settings)
        network = job.baseline.build(len(taxonomy), settings)
        network.load_state_dict(weights)
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"{args.published}: {error}") from error
    if args.styles is not None:
        _learn_styles(job, network, args.styles)
    files = [path for path in (args.published, args.encoder) if path is not None]
    card = CheckpointCard(
        network=args.generator,
        settings={"network": as_json(settings)},
        taxonomy=taxonomy.as_json(),
        preprocessing={"range": [0, 1]},
        data={"published": {path.name: file_sha256(path) for path in files}},
        training={},
        program=program_version(),
    )
    write_checkpoint(args.out, network.state_dict(), card)
    count = sum(each.numel() for each in network.parameters())
    return Outcome(
        f"{args.out}: {GENERATOR_TITLES[args.generator]} of {len(taxonomy)} classes, {count:,} "
        f"parameters, from {' and '.join(path.name for path in files)}"
    )


def _learn_styles(job: "GeneratorJob", network: "nn.Module", dataset: Path) -> None:
    from scenequilt.memory_bank.datasets.open import open_dataset
    from scenequilt.synthesis.photograph_samples import PhotographSampleSettings
    from scenequilt.tools.training.jobs.generator import GeneratorPhotographs, shown_batch

    if job.baseline.complete is None:
        raise ValueError(f"{job.baseline.name} has no styles to learn; leave --styles out")
    reader = open_dataset(dataset)
    photographs = GeneratorPhotographs(reader, reader.entries())
    size_hw = photographs.read(0)[1].size_hw
    samples = PhotographSampleSettings(crop_hw=size_hw)
    job.baseline.complete(
        network.eval(),
        (shown_batch(photographs, place, samples) for place in range(len(photographs))),
    )


def _state_of(path: Path) -> "Mapping[str, Tensor]":
    """Read a state dict; nothing but tensors is unpickled.

    Raises:
        CheckpointError: If the file is missing, or something else.
    """
    import pickle

    import torch

    from scenequilt.memory_bank.errors import CheckpointError

    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give a checkpoint as its authors publish it")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path} is no state dict of tensors ({reason}); give a *.pth as its authors publish it"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise CheckpointError(
            f"{path} holds {type(state).__name__}, expected a state dict of tensors by name; give the "
            "file of one network, not of a whole training"
        )
    return state
