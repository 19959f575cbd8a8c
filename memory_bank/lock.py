"""One writer at a time: a lock on a bank's folder that dies with its holder."""

import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from scenequilt.memory_bank.errors import BankLockedError

LOCK_NAME = ".lock"


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Hold the right to write to a bank.

    The system drops the lock when the process ends, however it ends, so that a killed writer stands
    in nobody's way. Readers need no lock: what they read never changes.

    Args:
        folder: The bank; it must exist.

    Raises:
        BankLockedError: If another process holds it; the message names that process.
    """
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BankLockedError(
                f"{folder}: {_holder(descriptor)} is writing to this bank; wait until it is "
                "done, or end it, and try again"
            ) from error
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        try:
            yield
        finally:
            # Emptied, not deleted: a process that waits at a deleted file would hold nothing.
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 1 << 16, 0))
        return f"process {holder['pid']} on {holder['host']} (since {holder['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
