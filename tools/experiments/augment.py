"""Do compositions help? A segmenter trained with and without them, and with random copy-paste."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.plan import list_entries
from scenequilt.memory_bank.store import sha256_of
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.synthesis.layouts.factory import FactorySettings, LayoutFactory
from scenequilt.synthesis.layouts.source import DatasetLayouts
from scenequilt.synthesis.layouts.statistics import learn_statistics
from scenequilt.tools.evaluation.segmentation_score import ConfusionMatrix
from scenequilt.tools.experiments.added_pictures import (
    COMPOSED,
    PASTED,
    AddedPictures,
    MixedSamples,
    make_added_pictures,
)
from scenequilt.tools.experiments.comparison import LEAST_SEEDS, Comparison, blocks_of, compare
from scenequilt.tools.output.atomic import write_atomically
from scenequilt.tools.progress import Progress
from scenequilt.tools.training.segmenter_samples import DatasetSamples, SampleSource

REAL = "real"
ARMS = (REAL, PASTED, COMPOSED)
"""Real photographs; with random copy-paste of the same things; with compositions."""

ARM_TITLES = {
    REAL: "real photographs",
    PASTED: "real + random copy-paste",
    COMPOSED: "real + compositions",
}

PAIRS = ((COMPOSED, PASTED), (PASTED, REAL), (COMPOSED, REAL))

EXPERIMENT_FORMAT = "scenequilt experiment augment"
EXPERIMENT_VERSION = 1

FEW_BLOCKS = 10
"""Of fewer blocks of test photographs a bootstrap says little."""


class Segmenter(Protocol):
    """Says which class every pixel is."""

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return (B, H, W) uint8 class ids of (B, H, W, 3) uint8 RGB."""
        ...


Trainer = Callable[[SampleSource, int, str], Segmenter]
"""Trains on samples with a seed; the name of the training is for its files. Same samples, same
seed, same segmenter; every call takes the same number of steps."""

Say = Callable[[str], Progress]
"""Called with what is going on; returns what is called as it goes on."""


@dataclass(frozen=True, slots=True)
class AugmentRequest:
    """What an experiment is asked for.

    Attributes:
        dataset: Folder of the dataset.
        bank: Folder of a bank of its training photographs.
        reader: Form of the dataset, None to recognise it.
        split: Split that is trained on; None for all that is not tested on.
        hold_out_sequences: Sequences that are tested on, whatever their split.
        test_split: Split that is tested on instead.
        count: Added pictures; None for as many as photographs.
        share: Of the added pictures among what a training sees, in (0, 1).
        seeds: Of the trainings, one training of each arm a seed.
        seed: Of layouts, compositions and pasting.
        favor: What classes count beyond their automatic weight in the layouts, by name.

    Raises:
        ValueError: If not exactly one of hold_out_sequences and test_split is given, seeds is empty
            or names one twice, or a number is out of range.
    """

    dataset: Path
    bank: Path
    reader: str | None = None
    split: str | None = None
    hold_out_sequences: tuple[str, ...] = ()
    test_split: str | None = None
    count: int | None = None
    share: float = 0.5
    seeds: tuple[int, ...] = (0, 1, 2)
    seed: int = 0
    favor: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if bool(self.hold_out_sequences) == (self.test_split is not None):
            raise ValueError(
                "give either a sequence to hold out or a split to test on: the segmenters are "
                "tested on photographs that nothing else has seen"
            )
        if self.split is not None and self.split == self.test_split:
            raise ValueError(
                f"split {self.split!r} is trained on, so it cannot be tested on; name another"
            )
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds is {self.seeds}, expected at least one and none twice")
        if self.count is not None and self.count < 1:
            raise ValueError(f"count is {self.count}, expected at least 1")
        if not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}, expected more than 0 and less than 1")


@dataclass(frozen=True, eq=False)
class AugmentSetting:
    """An experiment whose files have been looked at.

    Attributes:
        request: What it is asked for.
        reader: Of the dataset.
        training: Photographs that are trained on.
        testing: Photographs that are tested on.
        bank_fingerprint: Of the bank.
        own_sources: Names that a photograph of training has in the bank, by its name as a layout.
        warnings: Sentences on what may make the experiment say less.
    """

    request: AugmentRequest
    reader: DatasetReader
    training: tuple[Entry, ...]
    testing: tuple[Entry, ...]
    bank_fingerprint: str
    own_sources: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many pictures are added."""
        return self.request.count or len(self.training)

    def plan(self, training: Mapping[str, Any]) -> dict[str, Any]:
        """Return what decides the result, as plan.json holds it.

        Args:
            training: What decides a training, beside samples and seed; JSON.
        """
        digest = hashlib.sha256()
        for entry in (*self.training, *self.testing):
            digest.update(sha256_of(entry.image_path).encode())
            digest.update(sha256_of(entry.label_path).encode())
        return {
            "program": version("scenequilt"),
            "dataset": str(self.request.dataset.resolve()),
            "photographs_sha256": digest.hexdigest(),
            "bank": {
                "path": str(self.request.bank.resolve()),
                "fingerprint": self.bank_fingerprint,
            },
            "trained_on": len(self.training),
            "tested_on": len(self.testing),
            "count": self.count,
            "share": self.request.share,
            "seeds": list(self.request.seeds),
            "seed": self.request.seed,
            "favor": dict(self.request.favor or {}),
            "training": dict(training),
        }


@dataclass(frozen=True, eq=False)
class AugmentResult:
    """What an experiment has come to.

    Attributes:
        plan: What decided it.
        taxonomy: The classes.
        comparison: The figures.
        added: The added pictures.
        warnings: Sentences.
    """

    plan: Mapping[str, Any]
    taxonomy: Taxonomy
    comparison: Comparison
    added: AddedPictures
    warnings: tuple[str, ...]


def look_at(request: AugmentRequest) -> AugmentSetting:
    """Find the photographs of an experiment, and refuse a bank that has seen the test.

    Raises:
        BankError: If the bank cannot be opened.
        DatasetError: If a split or sequence does not exist, or nothing is left to train or test on.
        ValueError: If the bank holds a photograph or a sequence that is tested on, holds none that
            is trained on, or has other classes than the dataset.
    """
    from scenequilt.memory_bank.datasets.open import open_dataset

    reader = open_dataset(request.dataset, request.reader)
    training, testing = _divided(reader, request)
    layouts = DatasetLayouts(reader, training)
    with MemoryBank.open(request.bank) as bank:
        _check_classes(reader.taxonomy, bank.taxonomy, request)
        sources = bank.sources()
        fingerprint = bank.fingerprint
    tested = {sha256_of(entry.image_path) for entry in testing}
    in_test = [source for source in sources if source.image_sha256 in tested]
    held_out = set(request.hold_out_sequences)
    in_sequence = [source for source in sources if source.sequence in held_out]
    for found, what in ((in_test, "photographs"), (in_sequence, "photographs of the sequence")):
        if found:
            raise ValueError(
                f"{request.bank}: the bank holds {len(found)} {what} that are tested on, the first "
                f"is {found[0].source_id!r}, expected none; build a bank without them, e.g. with "
                "scenequilt bank build --exclude-sequence or --split"
            )
    by_hash: dict[str, list[str]] = {}
    for source in sources:
        by_hash.setdefault(source.image_sha256, []).append(source.source_id)
    # One photograph may be there under two names: its segments are kept out of both its layouts.
    trained = [sha256_of(entry.image_path) for entry in training]
    own = {
        layouts.name(place): tuple(by_hash.get(sha256, ())) for place, sha256 in enumerate(trained)
    }
    strangers = by_hash.keys() - set(trained)
    there = sum(bool(names) for names in own.values())
    if not there:
        raise ValueError(
            f"{request.bank}: the bank holds none of the {len(training)} photographs that are "
            "trained on; build one of them"
        )
    warnings = []
    if there < len(training):
        warnings.append(
            f"the bank holds {there} of the {len(training)} photographs that are trained on: what "
            "is added shows things of these alone"
        )
    if strangers:
        warnings.append(
            f"the bank holds {len(strangers)} photographs that are not trained on as they are: both "
            "kinds of added pictures, but not the real ones, show things of them"
        )
    filmed = {entry.sequence for entry in training} & {entry.sequence for entry in testing} - {""}
    if filmed:
        warnings.append(
            f"{', '.join(sorted(filmed))}: sequences that are both trained and tested on, so what "
            "is tested is nearly known; --hold-out-sequence tests on another street"
        )
    return AugmentSetting(
        request, reader, tuple(training), tuple(testing), fingerprint, own, tuple(warnings)
    )


def run_augment(
    setting: AugmentSetting,
    out: Path,
    trainer: Trainer,
    *,
    training: Mapping[str, Any],
    resume: bool = False,
    force: bool = False,
    say: Say | None = None,
) -> AugmentResult:
    """Make the added pictures, train every arm with every seed, test, and compare.

    Every finished picture and training is a file in out, so that a run that was broken off goes on
    where it was.

    Args:
        setting: The experiment.
        out: Folder to write.
        trainer: Trains a segmenter.
        training: What decides a training, beside samples and seed; JSON, for the plan.
        resume: Go on with the experiment in out.
        force: Begin anew what is in out.
        say: Is told what is going on.

    Raises:
        ValueError: If out holds something else, another experiment, or one and neither resume nor
            force is given.
        DatasetError: If no composition at all could be made.
    """
    plan = setting.plan(training)
    _start(out, plan, resume=resume, force=force)
    quiet: Say = say or (lambda _: lambda done, total: None)
    added = _make_added(setting, out / "pictures", quiet)
    samples = _samples(setting, added)
    confusions = {
        arm: np.stack(
            [
                _tested(setting, out, arm, seed, samples[arm], trainer, quiet)
                for seed in setting.request.seeds
            ]
        )
        for arm in ARMS
    }
    blocks = blocks_of([entry.sequence for entry in setting.testing])
    comparison = compare(
        confusions, setting.reader.taxonomy, PAIRS, blocks, seed=setting.request.seed
    )
    warnings = list(setting.warnings)
    if added.failures:
        warnings.append(
            f"{len(added.failures)} of {setting.count} layouts could not be composed, the first "
            f"because: {added.failures[0][1]}"
        )
    if len(setting.request.seeds) < LEAST_SEEDS:
        warnings.append(
            f"with {len(setting.request.seeds)} seeds nothing is called better or worse: how much "
            f"chance there is in a training shows with {LEAST_SEEDS} or more"
        )
    found = int(blocks.max()) + 1
    if found < FEW_BLOCKS:
        warnings.append(
            f"the {len(blocks)} photographs that are tested on make {found} blocks of neighbours: "
            f"with fewer than {FEW_BLOCKS}, bounds are too narrow"
        )
    return AugmentResult(plan, setting.reader.taxonomy, comparison, added, tuple(warnings))


def training_name(arm: str, seed: int) -> str:
    """Return the name of a training, for its files."""
    return f"{arm}-{seed}"


def _divided(reader: DatasetReader, request: AugmentRequest) -> tuple[list[Entry], list[Entry]]:
    everything = reader.entries()
    if request.test_split is not None:
        testing = reader.entries(request.test_split)
    else:
        for name in request.hold_out_sequences:
            if all(entry.sequence != name for entry in everything):
                there = ", ".join(sorted({entry.sequence for entry in everything} - {""}))
                raise DatasetError(
                    f"no sequence {name!r} to hold out; there are: {there or 'none'}"
                )
        testing = [entry for entry in everything if entry.sequence in request.hold_out_sequences]
    # One photograph may be in two splits under two names; the bytes tell.
    tested = {sha256_of(entry.image_path) for entry in testing}
    training = [
        entry
        for entry in list_entries(reader, request.split, ())
        if sha256_of(entry.image_path) not in tested
    ]
    if not training:
        raise DatasetError("nothing is left to train on: every photograph is tested on")
    return training, sorted(testing, key=lambda entry: (entry.sequence, entry.source_id))


def _check_classes(dataset: Taxonomy, bank: Taxonomy, request: AugmentRequest) -> None:
    ours = [entry.name for entry in dataset.classes]
    theirs = [entry.name for entry in bank.classes]
    if ours != theirs:
        raise ValueError(
            f"{request.bank}: the bank has the classes {', '.join(theirs)}, but {request.dataset} "
            f"has {', '.join(ours)}; build a bank of this dataset"
        )


def _start(out: Path, plan: Mapping[str, Any], *, resume: bool, force: bool) -> None:
    if resume and force:
        raise ValueError("--resume goes on and --force begins anew; give one of them")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file, expected a folder to write; choose another --out")
    earlier = _read_plan(out)
    if earlier is None and out.is_dir() and any(out.iterdir()):
        raise ValueError(
            f"{out}: not empty and no folder of an earlier experiment (it has no plan.json), so "
            "nothing is written there; choose another --out"
        )
    if earlier is not None and not (resume or force):
        raise ValueError(
            f"{out}: holds an earlier experiment; --resume goes on with it, --force begins anew"
        )
    if earlier is not None and resume:
        then, now = _flat(earlier), _flat(json.loads(json.dumps(plan)))
        for key, value in now.items():
            if then.get(key) != value:
                raise ValueError(
                    f"{out}: the earlier experiment had {key} {then.get(key)!r}, this one has "
                    f"{value!r}; give the same arguments to --resume, or --force to begin anew"
                )
    elif earlier is not None:
        _clear(out)
    (out / "runs").mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        {"format": EXPERIMENT_FORMAT, "version": EXPERIMENT_VERSION, **plan}, indent=1
    )
    write_atomically(out / "plan.json", text + "\n")


def _flat(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan with the settings of its tables under names of their own."""
    flat: dict[str, Any] = {}
    for key, value in plan.items():
        if isinstance(value, dict):
            flat |= {f"{key} {name}": each for name, each in value.items()}
        else:
            flat[key] = value
    return flat


def _read_plan(out: Path) -> dict[str, Any] | None:
    try:
        plan = json.loads((out / "plan.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    if not isinstance(plan, dict) or plan.get("format") != EXPERIMENT_FORMAT:
        return None
    return plan


def _clear(out: Path) -> None:
    import shutil

    for folder in ("pictures", "runs"):
        if (out / folder).is_dir():
            shutil.rmtree(out / folder)
    for name in ("experiment.json", "experiment.md", "examples.png"):
        (out / name).unlink(missing_ok=True)


def _make_added(setting: AugmentSetting, folder: Path, say: Say) -> AddedPictures:
    layouts = DatasetLayouts(setting.reader, setting.training)
    statistics = learn_statistics(layouts, progress=say("looking at layouts"))
    factory = LayoutFactory(
        statistics, layouts, FactorySettings(favor=dict(setting.request.favor or {}))
    )
    with MemoryBank.open(setting.request.bank) as bank:
        added = make_added_pictures(
            factory,
            bank,
            (setting.reader, setting.training),
            setting.own_sources,
            folder,
            count=setting.count,
            seed=setting.request.seed,
            progress=say("composing and pasting"),
        )
    if not added.names:
        raise DatasetError(
            f"none of {setting.count} layouts could be composed; the first: {added.failures[0][1]}"
        )
    return added


def _samples(setting: AugmentSetting, added: AddedPictures) -> dict[str, SampleSource]:
    real = DatasetSamples(setting.reader, setting.training)
    samples: dict[str, SampleSource] = {REAL: real}
    for arm in (PASTED, COMPOSED):
        more = DatasetSamples(*added.entries(arm))
        samples[arm] = MixedSamples(
            (len(real), real.read), (len(more), more.read), setting.request.share
        )
    return samples


def _tested(
    setting: AugmentSetting,
    out: Path,
    arm: str,
    seed: int,
    samples: SampleSource,
    trainer: Trainer,
    say: Say,
) -> NDArray[np.int64]:
    """Return the (N, K, K + 1) counts of one training, from its file if it is finished."""
    name = training_name(arm, seed)
    path = out / "runs" / f"{name}.json"
    if path.is_file():
        return np.array(json.loads(path.read_text(encoding="utf-8"))["confusion"], np.int64)
    segmenter = trainer(samples, seed, name)
    matrix = ConfusionMatrix(len(setting.reader.taxonomy))
    tested = DatasetSamples(setting.reader, setting.testing)
    progress = say(f"testing {ARM_TITLES[arm]}, seed {seed}")
    for place in range(len(tested)):
        image, label_map = tested.read(place)
        matrix.add(label_map, segmenter.predict(image[None])[0])
        progress(place + 1, len(tested))
    write_atomically(
        path,
        json.dumps(
            {
                "arm": arm,
                "seed": seed,
                "pictures": [entry.source_id for entry in setting.testing],
                "confusion": matrix.pictures.tolist(),
            }
        )
        + "\n",
    )
    return matrix.pictures
