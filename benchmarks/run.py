"""The benchmark: this package, the same work by hand, and other libraries.

python benchmarks/run.py                          everything; minutes
python benchmarks/run.py --quick                  a tenth of the data, two rounds: does it all run?
python benchmarks/run.py --only 'warm-*' epoch    some lines
python benchmarks/run.py --with bare tinytorch    some contestants
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import shutil
import sys
import tempfile
from pathlib import Path

from harness import chart, materials, report, results, server
from harness.entrants import ENTRANTS
from harness.lines import LINES, Line
from harness.runner import Contest, Failed

CHART = report.BENCHMARKS / "speed.png"


def parsed(args: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="LINE", default=["*"], help="names of lines; * and ? match")
    parser.add_argument("--with", nargs="+", metavar="WHO", dest="entrants", choices=ENTRANTS)
    parser.add_argument("--rounds", type=int, help="measured rounds after one that is not (7; with --quick 2)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the data")
    parser.add_argument("--json", type=Path, help="where to write the results; the docs show benchmarks/results.json")
    parser.add_argument("--chart", type=Path, help="where to draw the chart; the docs show benchmarks/speed.png")
    usual = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tinytorch-datasets-benchmarks"
    parser.add_argument("--workshop", type=Path, default=usual, help="environments and data, kept between runs")
    parser.add_argument("--scratch", type=Path, help="a folder on the disk to measure; the system's temporary one")
    parser.add_argument("--list", action="store_true", help="list lines and contestants, and measure nothing")
    return parser.parse_args(args)


def chosen(patterns: list[str]) -> list[Line]:
    """The lines that the patterns name, in the table's order."""
    lines = [line for line in LINES if any(fnmatch.fnmatchcase(line.name, pattern) for pattern in patterns)]
    if not lines:
        sys.exit(f"no line is called {' or '.join(patterns)}; there are {', '.join(line.name for line in LINES)}")
    return lines


def echo(text: str) -> None:
    """The story, on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    """Measure, and write what came out."""
    options = parsed()
    lines = chosen(options.only)
    if options.list:
        rows = [(line.name, line.title) for line in lines] + [(e.name, e.title) for e in ENTRANTS.values()]
        sys.stdout.write("".join(f"{name:20}{title}\n" for name, title in rows))
        return
    if options.scratch is not None:
        options.scratch.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="tinytorch-datasets-benchmarks-", dir=options.scratch))
    try:
        found = measured(options, lines, scratch)
    except Failed as error:
        sys.exit(f"{error}\nNothing was written.")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if options.json:
        results.write(found, options.json)
    if options.chart:
        chart.draw(found, options.chart)
    sys.stdout.write(report.markdown(found) + "\n")


def measured(options: argparse.Namespace, lines: list[Line], scratch: Path) -> dict[str, object]:
    """The results of all rounds."""
    real = materials.realdata()
    kind = f"{'quick' if options.quick else 'full'}-{'real' if real else 'generated'}"
    echo(f"materials ({kind})")
    made = materials.make(options.workshop / "materials" / kind, quick=options.quick, realdata=real)
    rounds: dict[str, results.Rounds] = {line.name: [] for line in lines}
    with server.serving(made.served) as url:
        materials.write_manifests(made, url)
        contest = Contest(made, url, scratch, options.workshop / "environments", echo)
        wanted = {cell.entrant for line in lines for cell in line.cells}
        contest.invite([name for name in ENTRANTS if name in wanted], asked=options.entrants)
        contest.compare(lines)
        count = options.rounds or (2 if options.quick else 7)
        for number in range(count + 1):
            echo(f"round {number} of {count}" + (", not counted" if not number else ""))
            for line in lines:
                if number > line.rounds or not contest.takes_part(line.ours) or line.name in contest.failed:
                    continue
                seen = contest.round(line, number)
                if number and seen:
                    rounds[line.name].append(seen)
        return results.whole(contest, lines, rounds, quick=options.quick)


if __name__ == "__main__":
    main()
