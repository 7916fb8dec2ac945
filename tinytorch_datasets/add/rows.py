"""Splits of one file by rows, as a person gives them on the command line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from tinytorch_datasets.add.draft import Draft
from tinytorch_datasets.errors import UsageError

_ROWS = re.compile(r"(\d{0,12}):(\d{0,12})")


def split_by_rows(made: Draft, rows: Sequence[tuple[str, str]], seed: int | None) -> None:
    """Put splits in place of the one that a draft has, each of some of its rows, counted in a shuffled order or not.

    Raises:
        UsageError: The draft has several splits, or the rows are not of the file, or of two splits.
    """
    if not rows:
        what = "--shuffle is the order in which the rows of splits are counted, and no --rows are given"
        raise UsageError(what, hint="Name the rows of each split: --rows train=0:100 --rows test=100:.")
    if len(made.splits) > 1:
        what = f"--rows divides one split, and the files are {len(made.splits)}: {', '.join(made.splits)}"
        raise UsageError(what, hint="Leave --rows out, or add one file.")
    (declared,) = made.splits.values()
    if "members" in declared:
        what = f"--rows divides what one file holds in order, and a split of {made.format} is members of an archive"
        raise UsageError(what, hint="Leave --rows out.")
    stored = declared["samples"]
    ranges = {split: _range(split, given, stored) for split, given in rows}
    if len(ranges) < len(rows):
        twice = next(split for split, _ in rows if [name for name, _ in rows].count(split) > 1)
        msg = f"--rows {twice}=... is given twice"
        raise UsageError(msg, hint="Name each split once.")
    in_order = sorted(ranges.items(), key=lambda one: one[1])
    for (split, (_, end)), (other, (start, stop)) in itertools.pairwise(in_order):
        if start < end:
            what = f"--rows: rows {start:,} to {min(end, stop):,} would be in {split} and in {other}"
            raise UsageError(what, hint="A sample is of one split: count from the first row to before the last number.")
    made.splits.clear()
    for split, (start, stop) in ranges.items():
        place = {**declared, "samples": stop - start, "rows": [start, stop]}
        if seed is not None:
            place["shuffle"] = {"seed": seed}
        made.splits[split] = {**place, "stored_samples": stored}
    left = stored - sum(stop - start for start, stop in ranges.values())
    if left:
        made.left_out.append(f"{left:,} of {stored:,} rows are in none of the splits")


def _range(split: str, given: str, stored: int) -> tuple[int, int]:
    """Return the first row of a split, and the one behind its last.

    Raises:
        UsageError: There are no such rows.
    """
    ends = _ROWS.fullmatch(given)
    start, stop = (int(ends[1] or 0), int(ends[2] or stored)) if ends else (0, 0)
    if not start < stop <= stored:
        what = f"--rows {split}={given}: there are no such rows; the file has {stored:,}, counted from 0"
        raise UsageError(
            what, hint="Write them as FIRST:END, the first row and the one behind the last: 0:404, or 404:."
        )
    return start, stop
