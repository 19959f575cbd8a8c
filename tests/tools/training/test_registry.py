"""The networks that can be trained, and what their jobs are built from."""

import subprocess
import sys

import pytest

from scenequilt.tools.settings import find_config
from scenequilt.tools.training.registry import INPUTS, JOBS, load_job
from scenequilt.tools.training.request import TrainingRequest


def test_an_unknown_network_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no network 'abacus' to train; there are .*segmenter"):
        load_job("abacus")


@pytest.mark.parametrize("name", JOBS)
def test_what_the_command_asks_for_is_known(name: str) -> None:
    entry = JOBS[name]

    assert (entry.needs | entry.takes) <= INPUTS.keys()
    assert find_config(entry.config).is_file()


def test_the_command_line_names_every_network_without_torch() -> None:
    script = (
        "import sys\n"
        "from scenequilt.tools.cli import build_parser\n"
        "build_parser()\n"
        "sys.exit('torch' in sys.modules)\n"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_table_is_found_by_its_name_and_kind() -> None:
    request = TrainingRequest(tables={"network": "wide"})

    assert request.table("network", str) == "wide"
    with pytest.raises(TypeError, match="table 'network' must be int, got str"):
        request.table("network", int)
    with pytest.raises(TypeError, match="table 'samples' must be str, got NoneType"):
        request.table("samples", str)


def test_a_job_of_photographs_refuses_a_request_without() -> None:
    with pytest.raises(ValueError, match="learns from photographs, but no dataset was given"):
        TrainingRequest().dataset()
