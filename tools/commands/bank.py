"""scenequilt bank: build a memory bank and look after it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenequilt.tools.commands.arguments import size_hw
from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    from scenequilt.memory_bank.bank import BankInfo, MemoryBank
    from scenequilt.memory_bank.build import Progress
    from scenequilt.memory_bank.datasets.interface import DatasetReader
    from scenequilt.memory_bank.manifest import Skipped

_READERS = "plain, rgb_masks, cityscapes, ade20k, coco_panoptic, coco_stuff, voc"


def add_bank_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parsers of the command and its verbs."""
    parser = commands.add_parser(
        "bank",
        help="cut photographs into segments and keep them in a memory bank",
        description="A memory bank is a folder of segments cut from labelled photographs.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_build(verbs)
    _add_info(verbs)
    _add_list(verbs)
    _add_verify(verbs)
    _add_add(verbs)
    _add_remove(verbs)
    _add_compact(verbs)
    _add_merge(verbs)
    _add_reindex(verbs)


def _add_build(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "build",
        help="make a bank of a dataset",
        description="Cut the photographs of a dataset into segments. A photograph that cannot be "
        "used is skipped and named at the end, and the status is then 1.",
    )
    _add_dataset_options(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="BANK", help="folder of the new bank"
    )
    parser.add_argument(
        "--min-area",
        type=int,
        default=50,
        metavar="PX",
        help="leave smaller segments out (default: %(default)s)",
    )
    parser.add_argument(
        "--frame",
        type=size_hw,
        metavar="HxW",
        help="size in pixels at which masks and layouts are compared (default: the commonest size "
        "of the photographs, at most 2^18 pixels)",
    )
    parser.add_argument(
        "--codec",
        choices=("jpeg95", "png"),
        default="jpeg95",
        help="how colours are stored: png is lossless and more than twice as large "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="read a sample, estimate segments, bytes and time, and write nothing",
    )
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted build")
    _add_json(parser)
    parser.set_defaults(run=run_build)


def _add_info(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("info", help="what is in a bank")
    _add_bank(parser)
    _add_json(parser)
    parser.set_defaults(run=run_info)


def _add_list(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("list", help="the photographs of a bank, or its segments")
    _add_bank(parser)
    parser.add_argument("--segments", action="store_true", help="list segments, not photographs")
    parser.add_argument("--class", dest="class_name", metavar="NAME", help="segments of this class")
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="EXPR",
        help="only those that pass, e.g. split=train, licence=CC0-1.0, area>=200, cut=no; "
        "may be repeated",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="the first N only")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.set_defaults(run=run_list)


def _add_verify(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "verify",
        help="compare every byte of a bank with its checksums",
        description="Name every file and record that is not as it was written; the status is then "
        "1. A bank whose build was interrupted is fine, and said to be unfinished.",
    )
    _add_bank(parser)
    _add_json(parser)
    parser.set_defaults(run=run_verify)


def _add_add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "add",
        help="add a dataset's photographs to a bank",
        description="Photographs that the bank has already, byte by byte, are left out; those that "
        "were removed come back. Stopped at any instant the bank is as it was, and the same "
        "command goes on.",
    )
    _add_dataset_options(parser)
    parser.add_argument(
        "--bank", type=Path, required=True, metavar="BANK", help="folder of the bank"
    )
    _add_json(parser)
    parser.set_defaults(run=run_add)


def _add_remove(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "remove",
        help="take photographs or segments out of a bank",
        description="What is removed is never retrieved again; compact takes it off the disk.",
    )
    _add_bank(parser)
    for option, metavar, what in (
        ("source", "NAME", "this photograph"),
        ("licence", "L", 'the photographs under this licence ("" for those of unknown licence)'),
        ("sequence", "S", "the photographs of this sequence"),
    ):
        parser.add_argument(
            f"--{option}",
            action="append",
            default=[],
            metavar=metavar,
            help=f"{what}; may be repeated",
        )
    parser.add_argument(
        "--segment",
        action="append",
        default=[],
        type=int,
        metavar="ID",
        help="this segment; may be repeated",
    )
    parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")
    _add_json(parser)
    parser.set_defaults(run=run_remove)


def _add_compact(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("compact", help="take removed segments off the disk")
    _add_bank(parser)
    _add_json(parser)
    parser.set_defaults(run=run_compact)


def _add_merge(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "merge",
        help="join banks of the same classes and frame into a new one",
        description="Segments that several banks hold are in the new one once. The old ones stay.",
    )
    parser.add_argument("banks", type=Path, nargs="+", metavar="BANK", help="two banks or more")
    parser.add_argument("--out", type=Path, required=True, metavar="BANK", help="the new bank")
    _add_json(parser)
    parser.set_defaults(run=run_merge)


def _add_reindex(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("reindex", help="make the search index of a bank anew")
    _add_bank(parser)
    _add_json(parser)
    parser.set_defaults(run=run_reindex)


def _add_dataset_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder of the photographs")
    parser.add_argument("--reader", metavar="R", help=f"its form: {_READERS} (default: found out)")
    parser.add_argument("--split", metavar="S", help="only this split, e.g. train")
    parser.add_argument(
        "--exclude-sequence",
        action="append",
        default=[],
        metavar="S",
        help="leave this sequence out; may be repeated",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes (default: as many as pay, at most the cores there are)",
    )
    parser.add_argument(
        "--repair",
        choices=("none", "nearest"),
        default="none",
        help="label values that are no class: refuse the file, or take the nearest class "
        "(default: %(default)s)",
    )


def _add_bank(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bank", type=Path, metavar="BANK", help="folder of the bank")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_build(args: argparse.Namespace) -> Outcome:
    """Build a bank, or say what building it would give.

    Raises:
        BankError: If there is a bank already, or what is resumed does not fit.
        DatasetError: If there is nothing to read.
    """
    from scenequilt.memory_bank.bank import describe_bank
    from scenequilt.memory_bank.build import build_bank, check_out
    from scenequilt.memory_bank.datasets.open import open_dataset
    from scenequilt.tools.progress import progress_bar

    check_out(args.out, resume=args.resume)
    reader = open_dataset(args.dataset, args.reader, repair=args.repair)
    if args.dry_run:
        return _estimate(args, reader)
    started = time.perf_counter()
    try:
        with progress_bar("building", "photographs") as update:
            report = build_bank(
                reader,
                args.out,
                split=args.split,
                exclude_sequence=args.exclude_sequence,
                min_area_px=args.min_area,
                frame_hw=args.frame,
                codec=args.codec,
                workers=args.workers,
                resume=args.resume,
                progress=_photographs(update),
            )
    except KeyboardInterrupt:
        print(
            f"scenequilt: {args.out} is not finished; go on with the same command and --resume",
            file=sys.stderr,
        )
        raise
    seconds = time.perf_counter() - started
    described = describe_bank(args.out)
    status = 1 if report.skipped else 0
    if args.json:
        table = _info_table(described)
        table |= {"seconds": round(seconds, 3), "present": report.present}
        return Outcome(json.dumps(table), status)
    lines = [
        (
            f"{args.out}: {_count(described.segments, 'segment')} of {_count(described.sources, 'photograph')}, "
            f"{_megabytes(described.size_bytes)}, in {seconds:.1f} s"
        ),
        f"fingerprint {described.manifest.fingerprint}",
    ]
    if report.photographs == 0 and args.resume:
        lines[0] = f"{args.out} is finished: there was nothing left to do"
    elif report.present:
        lines.append(f"{_are(report.present, 'photograph')} there more than once, and read once")
    return Outcome("\n".join(lines + _skipped_lines(report.skipped)), status)


def run_info(args: argparse.Namespace) -> Outcome:
    """Say what is in a bank."""
    from scenequilt.memory_bank.bank import describe_bank
    from scenequilt.memory_bank.manifest import how_to_finish

    described = describe_bank(args.bank)
    if args.json:
        return Outcome(json.dumps(_info_table(described)))
    manifest = described.manifest
    height, width = manifest.frame_hw
    lines = [
        f"{described.path}",
        (
            f"  {_count(described.segments, 'segment')} of {_count(described.sources, 'photograph')} in "
            f"{_count(described.shards, 'shard')}, {_megabytes(described.size_bytes)}"
        ),
        f"  classes      {manifest.taxonomy.name}, {len(manifest.taxonomy)}",
        f"  frame        {height}x{width}",
        f"  fingerprint  {manifest.fingerprint or '(none yet)'}",
        (
            f"  created      {manifest.created}, last changed {manifest.updated} by "
            f"scenequilt {manifest.program}"
        ),
    ]
    if manifest.pending is not None:
        lines.append(f"  NOT FINISHED: {how_to_finish(manifest, manifest.pending)}")
    if described.removed_segments or described.removed_sources:
        lines.append(
            f"  removed      {_count(described.removed_segments, 'segment')} and "
            f"{_count(described.removed_sources, 'photograph')}, still on disk (see: bank compact)"
        )
    lines += ["", "  segments  class"]
    lines += [f"  {count:8,}  {name}" for name, count in described.classes.items()]
    lines += ["", "  photographs  segments  licence"]
    lines += [
        f"  {count.sources:11,}  {count.segments:8,}  {name or '(not known)'}"
        for name, count in described.licences.items()
    ]
    for title, counts in (("split", described.splits), ("sequence", described.sequences)):
        if set(counts) - {""}:
            lines += ["", f"  photographs  {title}"]
            lines += [f"  {count:11,}  {name or '(none)'}" for name, count in counts.items()]
    return Outcome("\n".join(lines + _skipped_lines(described.skipped)))


def run_list(args: argparse.Namespace) -> Outcome:
    """List the photographs of a bank, or its segments.

    Raises:
        ValueError: If a filter cannot be read, or names no class of the bank.
    """
    from scenequilt.memory_bank.bank import MemoryBank

    if args.limit is not None and args.limit < 1:
        raise ValueError(f"--limit must be at least 1, got {args.limit}")
    with MemoryBank.open(args.bank) as bank:
        if args.segments or args.class_name is not None:
            rows = _segment_rows(bank, args.where, args.class_name)
        else:
            rows = _source_rows(bank, args.where)
    rows = rows[: args.limit]
    if args.json:
        return Outcome("\n".join(json.dumps(row) for row in rows))
    return Outcome(_columns(rows) if rows else "nothing passes the filters")


def run_verify(args: argparse.Namespace) -> Outcome:
    """Check every byte of a bank."""
    from scenequilt.memory_bank.maintenance import verify_bank
    from scenequilt.tools.progress import progress_bar

    with progress_bar("verifying", "shards") as update:
        report = verify_bank(args.bank, progress=update)
    status = 1 if report.faults else 0
    if args.json:
        table = asdict(report) | {"ok": not report.faults}
        return Outcome(json.dumps(table), status)
    removed = f" ({report.removed:,} of them removed)" if report.removed else ""
    looked = (
        f"{_count(report.segments, 'segment')}{removed} in {_count(report.shards, 'shard')}, "
        f"{_megabytes(report.size_bytes)}"
    )
    lines = [f"note: {note}" for note in report.notes]
    if report.faults:
        lines.append(
            f"{args.bank} is damaged: {_count(len(report.faults), 'fault')}; looked at {looked}"
        )
        lines += [f"  {fault}" for fault in report.faults]
    else:
        lines.append(f"{args.bank} is as it was written: {looked}")
    return Outcome("\n".join(lines), status)


def run_add(args: argparse.Namespace) -> Outcome:
    """Add a dataset's photographs to a bank."""
    from scenequilt.memory_bank.bank import describe_bank
    from scenequilt.memory_bank.build import add_photographs
    from scenequilt.memory_bank.datasets.open import open_dataset
    from scenequilt.tools.progress import progress_bar

    reader = open_dataset(args.dataset, args.reader, repair=args.repair)
    try:
        with progress_bar("adding", "photographs") as update:
            report = add_photographs(
                reader,
                args.bank,
                split=args.split,
                exclude_sequence=args.exclude_sequence,
                workers=args.workers,
                progress=_photographs(update),
            )
    except KeyboardInterrupt:
        print(
            f"scenequilt: {args.bank} is as it was; the same command goes on where it stopped",
            file=sys.stderr,
        )
        raise
    status = 1 if report.skipped else 0
    if args.json:
        table = _info_table(describe_bank(args.bank))
        table |= {
            "added": {"photographs": report.photographs, "segments": report.segments},
            "present": report.present,
            "returned": report.returned,
            "skipped": [asdict(one) for one in report.skipped],
        }
        return Outcome(json.dumps(table), status)
    lines = [
        (
            f"{args.bank}: {_count(report.segments, 'segment')} of {_count(report.photographs, 'photograph')} added, "
            f"{_were(report.present, 'photograph')} there already"
        ),
        f"fingerprint {report.manifest.fingerprint}",
    ]
    if report.returned:
        lines.insert(
            1, f"brought back {_count(report.returned, 'photograph')} that had been removed"
        )
    return Outcome("\n".join(lines + _skipped_lines(report.skipped)), status)


def run_remove(args: argparse.Namespace) -> Outcome:
    """Take photographs or segments out of a bank."""
    from scenequilt.memory_bank.maintenance import remove_from_bank

    report = remove_from_bank(
        args.bank,
        sources=args.source,
        licences=args.licence,
        sequences=args.sequence,
        segments=args.segment,
        dry_run=args.dry_run,
    )
    if args.json:
        return Outcome(json.dumps(asdict(report) | {"dry_run": args.dry_run}))
    verb = "would be removed" if args.dry_run else "removed"
    return Outcome(
        f"{args.bank}: {_count(report.segments, 'segment')} and {_count(report.sources, 'photograph')} {verb}\n"
        f"fingerprint {report.fingerprint}"
    )


def run_compact(args: argparse.Namespace) -> Outcome:
    """Take removed segments off the disk."""
    from scenequilt.memory_bank.maintenance import compact_bank

    report = compact_bank(args.bank)
    if args.json:
        return Outcome(json.dumps(asdict(report)))
    return Outcome(
        f"{args.bank}: {_count(report.shards, 'shard')} written anew or dropped, "
        f"{_megabytes(report.bytes_before)} before, {_megabytes(report.bytes_after)} after"
    )


def run_merge(args: argparse.Namespace) -> Outcome:
    """Join banks into a new one."""
    from scenequilt.memory_bank.maintenance import merge_banks

    report = merge_banks(args.banks, args.out)
    if args.json:
        return Outcome(json.dumps(asdict(report)))
    return Outcome(
        f"{args.out}: {_count(report.segments, 'segment')} of {_count(report.sources, 'photograph')}; "
        f"{_were(report.doubled, 'segment')} there more than once\nfingerprint {report.fingerprint}"
    )


def run_reindex(args: argparse.Namespace) -> Outcome:
    """Make the search index of a bank anew.

    Raises:
        FaissError: If FAISS cannot be used.
    """
    from scenequilt.memory_bank.maintenance import reindex_bank
    from scenequilt.memory_bank.manifest import read_manifest
    from scenequilt.tools.progress import progress_bar

    total = sum(record.segments for record in read_manifest(args.bank).shards)
    with progress_bar("indexing", "segments") as update:
        report = reindex_bank(args.bank, progress=lambda done: update(done, total))
    if args.json:
        return Outcome(json.dumps(asdict(report)))
    return Outcome(
        f"{args.bank}: {_count(report.segments, 'segment')} of {report.classes} classes indexed, "
        f"{_megabytes(report.size_bytes)}"
    )


def _estimate(args: argparse.Namespace, reader: DatasetReader) -> Outcome:
    from scenequilt.memory_bank.build import estimate_build
    from scenequilt.tools.progress import progress_bar

    with progress_bar("reading a sample", "photographs") as update:
        estimate = estimate_build(
            reader,
            split=args.split,
            exclude_sequence=args.exclude_sequence,
            min_area_px=args.min_area,
            frame_hw=args.frame,
            codec=args.codec,
            workers=args.workers,
            progress=_photographs(update),
        )
    status = 1 if estimate.skipped else 0
    if args.json:
        table = asdict(estimate)
        table["bytes"] = table.pop("size_bytes")
        return Outcome(json.dumps(table | {"dry_run": True}), status)
    height, width = estimate.frame_hw
    lines = [
        (
            f"{args.out} would hold about {_count(estimate.segments, 'segment')} of "
            f"{_count(estimate.photographs, 'photograph')} in {_megabytes(estimate.size_bytes)}, after about "
            f"{_seconds(estimate.seconds)} with {_count(estimate.workers, 'worker')}"
        ),
        f"frame {height}x{width}; judged by {_count(estimate.sample, 'photograph')}; nothing was written",
    ]
    if estimate.present:
        lines.append(f"{_are(estimate.present, 'photograph')} there more than once")
    return Outcome("\n".join(lines + _skipped_lines(estimate.skipped)), status)


def _photographs(update: Callable[[int, int], None]) -> Callable[[Progress], None]:
    return lambda progress: update(progress.photographs, progress.total)


def _info_table(described: BankInfo) -> dict[str, Any]:
    manifest = described.manifest
    return {
        "bank": str(described.path),
        "finished": described.finished,
        "segments": described.segments,
        "sources": described.sources,
        "bytes": described.size_bytes,
        "shards": described.shards,
        "fingerprint": manifest.fingerprint,
        "frame_hw": list(manifest.frame_hw),
        "classes": described.classes,
        "licences": {name: asdict(count) for name, count in described.licences.items()},
        "splits": described.splits,
        "sequences": described.sequences,
        "removed": {
            "segments": described.removed_segments,
            "sources": described.removed_sources,
        },
        "skipped": [asdict(one) for one in described.skipped],
        "settings": {name: value for name, value in manifest.settings.items() if name != "plan_id"},
        "taxonomy": manifest.taxonomy.as_json(),
        "created": manifest.created,
        "updated": manifest.updated,
        "program": manifest.program,
    }


def _source_rows(bank: MemoryBank, expressions: Sequence[str]) -> list[dict[str, Any]]:
    from scenequilt.memory_bank.where import parse_where

    where = parse_where(expressions)
    if where.segment_filters():
        raise ValueError("area and cut are filters on segments: list them with --segments")
    counts = bank.segments_by_source()
    return [
        {
            "source_id": source.source_id,
            "segments": counts[source.source_id],
            "size_hw": list(source.size_hw),
            "split": source.split,
            "sequence": source.sequence,
            "licence": source.licence,
            "address": source.address,
            "image_sha256": source.image_sha256,
            "image_path": source.image_path,
        }
        for source in bank.sources()
        if all(found.passes(source) for found in where.source_filters())
    ]


def _segment_rows(
    bank: MemoryBank, expressions: Sequence[str], class_name: str | None
) -> list[dict[str, Any]]:
    from scenequilt.memory_bank.where import parse_where

    where = parse_where(expressions)
    class_id = None if class_name is None else bank.taxonomy.class_id(class_name)
    rows = []
    for source, segments in bank.rows():
        keep = segments["area_px"] > 0
        if class_id is not None:
            keep &= segments["class_id"] == class_id
        for segment_filter in where.segment_filters():
            keep &= segment_filter.passes(segments[segment_filter.field])
        if not all(found.passes(source) for found in where.source_filters()):
            continue
        rows += [
            {
                "segment_id": int(segment["segment_id"]),
                "class": bank.taxonomy.classes[segment["class_id"]].name,
                "source_id": source.source_id,
                "box": segment["box"].tolist(),
                "area_px": int(segment["area_px"]),
                "cut_by_frame": bool(segment["cut_by_frame"]),
            }
            for segment in segments[keep]
        ]
    return rows


def _columns(rows: Sequence[dict[str, Any]]) -> str:
    """Lay rows out for reading: hashes, addresses and paths are for --json."""
    hidden = {"image_sha256", "image_path", "address"}
    names = [name for name in rows[0] if name not in hidden]
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(line[column]) for line in [names, *cells]) for column in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [names, *cells]
    )


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "x".join(map(str, value)) if len(value) == 2 else ",".join(map(str, value))
    return str(value) or "-"


def _skipped_lines(skipped: Sequence[Skipped]) -> list[str]:
    if not skipped:
        return []
    lines = [f"skipped {_count(len(skipped), 'photograph')}:"]
    return lines + [f"  {one.source_id}: {one.message}" for one in skipped]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _are(number: int, noun: str) -> str:
    return f"{_count(number, noun)} {'is' if number == 1 else 'are'}"


def _were(number: int, noun: str) -> str:
    return f"{_count(number, noun)} {'was' if number == 1 else 'were'}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
