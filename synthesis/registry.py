"""Every generator without a bank, by the name it has in papers and on the command line."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenequilt.synthesis.baselines.baseline import Baseline


def _crn() -> "Baseline":
    from scenequilt.synthesis.baselines.crn import BASELINE

    return BASELINE


def _pi_rec() -> "Baseline":
    from scenequilt.synthesis.baselines.pi_rec import BASELINE

    return BASELINE


def _pix2pix() -> "Baseline":
    from scenequilt.synthesis.baselines.pix2pix import BASELINE

    return BASELINE


def _pix2pixhd() -> "Baseline":
    from scenequilt.synthesis.baselines.pix2pixhd import BASELINE

    return BASELINE


def _spade() -> "Baseline":
    from scenequilt.synthesis.baselines.spade import BASELINE

    return BASELINE


BASELINES: Mapping[str, Callable[[], "Baseline"]] = {
    "crn": _crn,
    "pi_rec": _pi_rec,
    "pix2pix": _pix2pix,
    "pix2pixhd": _pix2pixhd,
    "spade": _spade,
}


def load_baseline(name: str) -> "Baseline":
    """Import the file of a paper.

    Raises:
        ValueError: If there is no such generator; the message lists those there are.
    """
    if name not in BASELINES:
        raise ValueError(f"no generator {name!r}; there are {', '.join(sorted(BASELINES))}")
    return BASELINES[name]()
