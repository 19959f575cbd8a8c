"""What a command hands back to the command line."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command prints, and the status it leaves with.

    Attributes:
        text: For standard output, without a final newline.
        status: 0 done; 1 done, but something named in text was left out.
    """

    text: str
    status: int = 0
