"""Results: medians, ratios within a round, and the JSON file of them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from harness import machine
from harness.entrants import ABSENT, ENTRANTS
from harness.lines import Cell, Line
from harness.runner import Contest, Report

KIB, MIB = 1 << 10, 1 << 20
Rounds = list[dict[Cell, Report]]


def value(report: Report, measure: str) -> float:
    """What counts of a report, in seconds: a number, or the median of a list.

    >>> value({"epoch_s": [3.0, 1.0, 2.0]}, "epoch_s")
    2.0
    """
    found = report[measure]
    return float(median(found) if isinstance(found, list) else found)


def ratio(rounds: Rounds, cell: Cell, reference: Cell, measure: str) -> float:
    """The median of what a cell took against what the reference took in the same round."""
    return median(value(each[cell], measure) / value(each[reference], measure) for each in rounds if cell in each)


def summary(line: Line, rounds: Rounds) -> dict[str, Any]:
    """One line's part of the file."""
    cells = {}
    for cell in rounds[0]:
        reports = [each[cell] for each in rounds if cell in each]
        took = sorted(value(report, line.measure) for report in reports)
        summed: dict[str, Any] = {
            "entrant": cell.entrant,
            "task": cell.task,
            "took_s": _short(median(took)),
            "least_s": _short(took[0]),
            "most_s": _short(took[-1]),
            "cpu_s": _short(median(report["cpu_s"] for report in reports)),
            "disk_mib": _mib(reports, "disk", 1),
        }
        if "peak_kib" in reports[0]:
            summed["peak_mib"] = _mib(reports, "peak_kib", KIB)
            summed["private_mib"] = _mib(reports, "private_kib", KIB)
        if line.reference is not None and line.reference in rounds[0]:
            summed["ratio"] = _short(ratio(rounds, cell, line.reference, line.measure))
            summed["cpu_ratio"] = _short(ratio(rounds, cell, line.reference, "cpu_s"))
        cells[_role(line, cell)] = summed
    return {"rounds": len(rounds), "cells": cells}


def _role(line: Line, cell: Cell) -> str:
    if cell == line.ours:
        return "ours"
    if cell == line.reference:
        return "reference"
    return cell.entrant if cell.entrant not in ("bare", "tinytorch") else f"{cell.entrant}:{cell.task}"


def whole(contest: Contest, lines: Sequence[Line], rounds: dict[str, Rounds], *, quick: bool) -> dict[str, Any]:
    """Everything, as it is written to the file."""
    made = contest.materials
    measured = [line for line in lines if rounds.get(line.name) and line.name not in contest.failed]
    return {
        "date": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        "quick": quick,
        "machine": machine.description(),
        "load": machine.load(),
        "materials": {"mnist": made.mnist, "cifar10": made.cifar10},
        "versions": contest.versions,
        "absent": {**{ENTRANTS[name].title: why for name, why in contest.absent.items()}, **ABSENT},
        "failed": contest.failed,
        "lines": {line.name: summary(line, rounds[line.name]) for line in measured},
    }


def write(results: dict[str, Any], path: Path) -> None:
    """One line a cell, so that a difference between two runs can be read."""
    text = json.dumps(results, indent=1)
    path.write_text(_cells_on_one_line(text) + "\n", encoding="utf-8")


def _cells_on_one_line(text: str) -> str:
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        if inside and depth > 4:
            lines[-1] += line.strip() + " "
        elif inside:
            lines[-1] = lines[-1].rstrip() + line.strip()
            inside = False
        else:
            lines.append(line)
            inside = depth == 4 and line.endswith("{")
    return "\n".join(lines)


def _mib(reports: Sequence[Report], key: str, unit: int) -> float:
    return round(median(report[key] for report in reports) * unit / MIB, 1)


def _short(number: float) -> float:
    return float(f"{number:.4g}")
