"""Freed memory is kept where glibc hands it out, and nothing happens elsewhere."""

import ctypes
import subprocess
import sys

import pytest

from scenequilt.tools.evaluation.allocator import keep_freed_buffers

FAULTS_OF_TEN_BUFFERS = """
import resource, sys
import numpy as np
from scenequilt.tools.evaluation.allocator import keep_freed_buffers

if sys.argv[1] == "keep":
    keep_freed_buffers()
np.ones(4_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(4_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS_OF_TEN_BUFFERS, how],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(ran.stdout)


def test_a_buffer_is_not_faulted_in_again_where_it_says_so() -> None:
    kept, given_back = faults("keep"), faults("give back")

    assert (kept < given_back / 5) == hasattr(ctypes.CDLL(None), "mallopt")


def test_nothing_happens_on_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert keep_freed_buffers() is False
