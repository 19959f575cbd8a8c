"""Every network that can be trained, by its name on the command line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import nn

    from scenequilt.tools.training.checkpoint import Checkpoint
    from scenequilt.tools.training.job import TrainingJob
    from scenequilt.tools.training.request import TrainingRequest


class JobModule(Protocol):
    """What a file of tools/training/jobs offers."""

    @property
    def NETWORK(self) -> str:
        """Name of the architecture on the card."""
        ...

    @property
    def SETTINGS(self) -> Mapping[str, type[Any]]:
        """TOML tables of its own beside [training], each with the frozen dataclass it makes."""
        ...

    def build_job(self, request: "TrainingRequest") -> "TrainingJob[Any]":
        """Return the job: network with its first weights, objective, batches."""
        ...

    def restore(self, checkpoint: "Checkpoint") -> "nn.Module":
        """Return the network of a checkpoint, on the CPU, in evaluation mode.

        Raises:
            CheckpointError: If the checkpoint is of another network.
        """
        ...


INPUTS: Mapping[str, str] = {
    "bank": "folder of the memory bank that segments come from",
    "features": "weights of the classifier that the perceptual loss compares by: VGG-16 or VGG-19",
    "canvases": "simulated canvases, as scenequilt canvases makes them",
    "depth": "photographs with depth maps",
}
"""What a job may learn from beside photographs; all but "depth" are options of the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEntry:
    """A network that can be trained. What stands here is known without importing torch.

    Attributes:
        help: One line for the command line.
        load: Imports the file of the job.
        config: Name of the settings in tools/configs that are taken if none are named.
        dataset: True if it learns from the photographs of a dataset.
        needs: Of INPUTS, what the command must be given besides.
        takes: Of INPUTS, what it may be given.
        crop: Setting "table.key" that --crop HxW sets, None where there is no such option.
        tell_run: True if seconds, hardware and last figures go on the card; False if same weights
            are to come in the same bytes.
    """

    help: str
    load: Callable[[], JobModule]
    config: str
    dataset: bool = True
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    crop: str | None = None
    tell_run: bool = True


def _aligner() -> JobModule:
    from scenequilt.tools.training.jobs import aligner

    return aligner


def _orderer() -> JobModule:
    from scenequilt.tools.training.jobs import orderer

    return orderer


def _depth() -> JobModule:
    from scenequilt.tools.training.jobs import depth

    return depth


def _segmenter() -> JobModule:
    from scenequilt.tools.training.jobs import segmenter

    return segmenter


def _completion() -> JobModule:
    from scenequilt.tools.training.jobs import completion

    return completion


def _resail() -> JobModule:
    from scenequilt.tools.training.jobs import resail

    return resail


def _synthesis() -> JobModule:
    from scenequilt.tools.training.jobs import synthesis

    return synthesis


def _generator(name: str) -> JobEntry:
    def load() -> JobModule:
        from scenequilt.tools.training.jobs.generator import generator_job

        return generator_job(name)

    return JobEntry(
        help=f"{GENERATOR_TITLES[name]}, a generator that needs no bank",
        load=load,
        config=f"{name}-small",
        takes=frozenset({"features"}),
        crop="samples.crop_hw",
    )


GENERATOR_TITLES: Mapping[str, str] = {
    "crn": "CRN (Chen and Koltun 2017)",
    "pi_rec": "PI-REC (You et al. 2019)",
    "pix2pix": "pix2pix (Isola et al. 2017)",
    "pix2pixhd": "pix2pixHD (Wang et al. 2018)",
    "spade": "SPADE (Park et al. 2019)",
}
"""Papers of the generators, as people know them."""

JOBS: Mapping[str, JobEntry] = {
    "aligner": JobEntry(
        help="the network that corrects how segments are bent to their queries",
        load=_aligner,
        config="aligner-small",
        takes=frozenset({"bank"}),
    ),
    "completion": JobEntry(
        help="the network that fills the void of coarse layouts",
        load=_completion,
        config="completion-small",
        crop="samples.size_hw",
    ),
    "depth": JobEntry(
        help="the network that says how far everything in a photograph is",
        load=_depth,
        config="depth-small",
        needs=frozenset({"depth"}),
        crop="network.size_hw",
    ),
    "orderer": JobEntry(
        help="the network that says which of two regions is in front",
        load=_orderer,
        config="orderer-small",
        crop="view.size_hw",
    ),
    "resail": JobEntry(
        help="the generator that makes photographs of canvases and can leave good pixels alone",
        load=_resail,
        config="resail-small",
        dataset=False,
        needs=frozenset({"canvases"}),
        takes=frozenset({"features"}),
        crop="samples.crop_hw",
    ),
    "segmenter": JobEntry(
        help="the network that says which class every pixel is",
        load=_segmenter,
        config="segmenter",
        crop="samples.crop_hw",
        tell_run=False,
    ),
    "synthesis": JobEntry(
        help="the network that makes photographs of canvases",
        load=_synthesis,
        config="synthesis-small",
        dataset=False,
        needs=frozenset({"canvases"}),
        takes=frozenset({"features"}),
        crop="samples.crop_hw",
    ),
    **{name: _generator(name) for name in GENERATOR_TITLES},
}


def load_job(name: str) -> JobModule:
    """Import the file of a job.

    Raises:
        ValueError: If there is no such job; the message lists those there are.
    """
    if name not in JOBS:
        raise ValueError(f"no network {name!r} to train; there are {', '.join(sorted(JOBS))}")
    return JOBS[name].load()
