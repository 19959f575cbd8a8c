"""Freed memory is kept where glibc hands it out, and nothing happens elsewhere."""

import subprocess
import sys

import pytest

from scenequilt.tools.evaluation.allocator import keep_freed_buffers

FAULTS_OF_TEN_BUFFERS = """
import resource, sys
import numpy as np
from scenequilt.tools.evaluation.allocator import keep_freed_buffers

if sys.argv[1] == "keep" and not keep_freed_buffers():
    sys.exit("no glibc")
np.ones(4_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(4_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS_OF_TEN_BUFFERS, how],
        check=False,
        capture_output=True,
        text=True,
    )
    if "no glibc" in ran.stderr:
        pytest.skip("the C library is not glibc")
    return int(ran.stdout)


def test_a_buffer_is_not_faulted_in_again() -> None:
    assert faults("keep") < faults("give back") / 5


def test_nothing_happens_on_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert keep_freed_buffers() is False
