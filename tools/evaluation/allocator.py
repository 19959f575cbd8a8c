"""Memory of freed buffers kept for the next ones, so that convolutions need not fault it in."""

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
"""Numbers of glibc's malloc.h."""

NEVER_TRIM_BYTES = 2**31 - 1


def keep_freed_buffers() -> bool:
    """Let this process keep freed memory instead of giving it back to the system.

    glibc hands every large buffer back when it is freed, and the next one of its size is faulted in
    page by page; a network on the CPU frees and takes dozens of them a picture. The process then
    holds the most memory that it ever needed. Nothing happens without glibc.

    Returns:
        True if it was done.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER_TRIM_BYTES))
