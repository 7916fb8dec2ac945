"""The results as tables, for the docs.

Markdown tables made from the JSON file and nothing else, so that they can be checked.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.entrants import ENTRANTS
from harness.lines import LIBRARY_ROUNDS, LINES, NAMES, Line

BENCHMARKS = Path(__file__).resolve().parent.parent
RESULTS = BENCHMARKS / "results.json"

# The harness alone keeps about one core busy; above this load a core, something else ran as well.
QUIET = 1.0

Results = dict[str, Any]


def load(path: Path = RESULTS) -> Results:
    """The results as they were written."""
    loaded: Results = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def markdown(results: Results) -> str:
    """Everything that the docs show."""
    parts = (conditions(results), against_the_limit(results), against_others(results), absent(results))
    return "\n\n".join(part for part in parts if part)


def conditions(results: Results) -> str:
    """When, on what and with what it was measured."""
    about, made = results["machine"], results["materials"]
    versions = ", ".join(sorted({f"{n} {v}" for each in results["versions"].values() for n, v in each.items()}))
    rounds = sorted({line["rounds"] for line in results["lines"].values()})
    lines = [
        f"Measured on {results['date']} with `python benchmarks/run.py{' --quick' if results['quick'] else ''}`: "
        f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}, "
        f"Python {about['python']}.",
        f"Versions: {versions}.",
        f"MNIST: {made['mnist']}. CIFAR-10: {made['cifar10']}.",
        f"Measured in {_span(rounds)} rounds, other libraries in {min(rounds[-1], LIBRARY_ROUNDS)}.",
    ]
    if results["quick"] or (results["load"] or 0) > QUIET * about["cores"]:
        why = "a tenth of the data" if results["quick"] else f"other work ran meanwhile (load {results['load']})"
        lines.append(f"**Provisional:** {why}; of these figures, ratios of processor time mean the most.")
    return "\n".join(lines)


def against_the_limit(results: Results) -> str:
    """This package against the same work by hand: a row a line."""
    rows = [
        "| what | by hand | here | ratio | aim | of the shortest runs | processor time, ratio "
        "| memory, peak | private, over by hand |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows += [_row(line, results["lines"][line.name]) for line in LINES if line.name in results["lines"]]
    return "\n".join(rows)


def _row(line: Line, found: dict[str, Any]) -> str:
    ours, reference = found["cells"]["ours"], found["cells"].get("reference")
    peak, private, processor, shortest = ours.get("peak_mib"), "", "", ""
    reached = True
    if reference is None:
        reached = line.aim is None or ours["took_s"] <= line.aim
        aim, ratio = f"{duration(line.aim or 0)}", ""
    else:
        reached = line.aim is None or ours["ratio"] <= line.aim or ours["took_s"] <= (line.or_s or 0)
        aim, ratio = f"{line.aim:.2f}" if line.aim else "", f"{ours['ratio']:.2f}"
        aim += f" or {duration(line.or_s)}" if line.or_s else ""
        shortest = f"{ours['least_s'] / reference['least_s']:.2f}"
        # Of a task that the process times itself, the process as a whole says little.
        processor = f"{ours['cpu_ratio']:.2f}" if line.measure == "wall_s" else ""
        if "private_mib" in ours:
            over = ours["private_mib"] - reference["private_mib"]
            private = f"{over:+.1f} MiB" + (f" (aim {line.private_aim_mib:g})" if line.private_aim_mib else "")
    memory = f"{peak:.0f} MiB" + (f" (aim {line.peak_aim_mib:g})" if line.peak_aim_mib else "") if peak else ""
    cells = (
        line.title,
        duration(reference["took_s"]) if reference else "",
        duration(ours["took_s"]),
        (ratio or duration(ours["took_s"])) if reached else f"**{ratio or duration(ours['took_s'])}**",
        aim,
        shortest,
        processor,
        memory,
        private,
    )
    return f"| {' | '.join(cells)} |"


def against_others(results: Results) -> str:
    """Every contestant on disk and from the server, a table a data set; of times the shortest.

    Others run in fewer rounds, and a median of some rounds is not to be compared with one of others.
    """
    return "\n\n".join(part for dataset in NAMES if (part := _table(results, dataset)))


def _table(results: Results, dataset: str) -> str:
    warm, touched, cold = (results["lines"].get(f"{kind}-{dataset}") for kind in ("warm", "touched", "cold"))
    if not (warm and touched and cold):
        return ""
    rows = [
        f"| {NAMES[dataset]} | first batch, on disk | processor time | every byte touched | peak | private "
        "| from the server | processor time | peak | on disk |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    roles = [role for role in warm["cells"] if all(role in each["cells"] for each in (touched, cold))]
    for role in sorted(roles, key=lambda role: warm["cells"][role]["least_s"]):
        w, t, c = (each["cells"][role] for each in (warm, touched, cold))
        rows.append(
            f"| {ENTRANTS[w['entrant']].title} | {duration(w['least_s'])} | {duration(w['cpu_s'])} "
            f"| {duration(t['least_s'])} | {_mib(t, 'peak_mib')} | {_mib(t, 'private_mib')} "
            f"| {duration(c['least_s'])} | {duration(c['cpu_s'])} | {_mib(c, 'peak_mib')} | {_mib(c, 'disk_mib')} |"
        )
    return "\n".join(rows)


def absent(results: Results) -> str:
    """Who did not take part and what did not work, and why."""
    lines = [f"Not measured: {who}: {why}." for who, why in results["absent"].items()]
    lines += [f"Failed: `{line}`: {why}." for line, why in results["failed"].items()]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """A time in the unit that suits it, to three digits.

    >>> duration(0.0671), duration(2.5), duration(0.0000123), duration(0.5584)
    ('67.1 ms', '2.50 s', '12.3 µs', '558 ms')
    """
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale or unit == "µs":
            number = seconds / scale
            break
    decimals = 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:.{decimals}f} {unit}"


def _mib(cell: dict[str, Any], key: str) -> str:
    return f"{cell[key]:.0f} MiB" if key in cell else ""


def _span(numbers: list[int]) -> str:
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
