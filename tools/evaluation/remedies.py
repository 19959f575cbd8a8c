"""Remedies of label files in words that an evaluation has options for."""

_OTHER_REMEDIES = (
    ("--repair nearest takes 255 for void", "list 255 in void_ids with --classes FILE"),
    ("read with --repair nearest", "write the file again with hard borders"),
    (", or name another form with --reader", ""),
    ("name another form with --reader, or bring", "bring"),
    ("read with --reader rgb_masks", "write its class ids in one channel"),
)
"""What readers of datasets advise, and what serves instead where label maps are judged only."""


def without_reader_options(message: str) -> str:
    """Return a message of a label file's reader without options that evaluate does not have."""
    for theirs, ours in _OTHER_REMEDIES:
        message = message.replace(theirs, ours)
    return message
