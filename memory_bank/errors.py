"""What can go wrong, for programs that want to catch it.

ScenequiltError
    DatasetError            a dataset, or one file of it, is not what its form promises
        LabelError          a label map or an instance map cannot be read as one
    BankError
        BankFormatError     the folder is not a bank, or of another format
        BankCorruptError    a byte of the bank is not what was written
        BankLockedError     another process is writing to the bank
        EmptyClassError     no segment of a class that the layout asks for, after the filters
    RecipeError             a recipe cannot be replayed: bank, program or layout is another
    CheckpointError         a file of weights cannot be read, or does not fit what it is for
    MissingConditionError   a generator needs a condition that is None
    FaissError              FAISS is absent, broken, or installed twice

A caller's mistake in an argument is a ValueError or a TypeError.
"""


class ScenequiltError(Exception):
    """Base of every error of our own."""


class DatasetError(ScenequiltError):
    """A dataset, or one file of it, is not what its form promises."""


class LabelError(DatasetError):
    """A label map or an instance map cannot be read as one."""


class BankError(ScenequiltError):
    """Base of what can be wrong with a memory bank."""


class BankFormatError(BankError):
    """The folder is not a memory bank, or of a format that this program does not read."""


class BankCorruptError(BankError):
    """A byte of the bank is not what was written."""


class BankLockedError(BankError):
    """Another process is writing to the bank."""


class EmptyClassError(BankError):
    """The bank holds no segment of a class that is asked for, or the filters removed them all."""


class RecipeError(ScenequiltError):
    """A recipe cannot be replayed."""


class CheckpointError(ScenequiltError):
    """A file of weights cannot be read, or does not fit what it is for."""


class MissingConditionError(ScenequiltError):
    """A generator needs a condition that is None."""


class FaissError(ScenequiltError):
    """FAISS is absent, broken, or installed twice."""
