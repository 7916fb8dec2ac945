"""Text of many lines: the first `get` of it, and single strings, runs of them and all of them after that.

    python benchmarks/lines.py 1_000_000

A first `get` copies the file out of a folder, hashes it, decodes, checks, hashes the values and writes them; by hand
it is `open(...).read().split`, which checks nothing and keeps nothing. Strings are compared with those of an array of
pyarrow of the same lines. All of it is in one process, in turns; times are of the processor, and the shortest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa

from tinytorch_datasets import StringArray, get
from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers.text import opened_text, packed_lines

WORDS = [f"word{number}"[: 2 + number % 6] for number in range(32)]


def write_lines(root: Path, count: int) -> Path:
    """Lines of 4 to 18 words in a folder that serves as mirror, with their manifest."""
    random = Random(0)
    path = root / "mirror" / "lines" / "lines.txt"
    path.parent.mkdir(parents=True)
    with path.open("w", newline="\n") as file:
        file.writelines(" ".join(random.choices(WORDS, k=random.randint(4, 18))) + "\n" for _ in range(count))
    data = path.read_bytes()
    entry = {
        "title": "Lines",
        "status": "remote",
        "format": "text",
        "options": {"unit": "lines"},
        "license": "CC0-1.0",
        "source": "generated",
        "fields": {"text": {"dtype": "str"}},
        "splits": {"train": {"samples": count, "text": path.name}},
        "mirrors": ["https://example.invalid/"],
        "files": {path.name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}},
    }
    (root / "datasets.yaml").write_text(json.dumps({"version": 1, "datasets": {"lines": entry}}))
    return path


def processor_time(work: Callable[[], object]) -> float:
    """The processor time of one run, of all threads."""
    before = time.process_time()
    work()
    return time.process_time() - before


def microseconds(work: Callable[[], object], times: int) -> float:
    """The shortest of several repetitions, a call."""
    return min(timeit.repeat(work, number=times, repeat=7)) / times * 1e6


def main() -> None:
    """Print a row for each kind of work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; a disk, not memory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        root = Path(name)
        path = write_lines(root, given.lines)

        def by_hand() -> list[str]:
            with path.open(encoding="utf-8", newline="\n") as file:
                return file.read().split("\n")[:-1]

        def decode() -> None:
            with opened_text(ByteSource(path), ()) as stream:
                for _ in packed_lines(stream):
                    pass

        def cold() -> StringArray:
            with tempfile.TemporaryDirectory(dir=root) as home:
                data = get("lines", manifest=root / "datasets.yaml", home=home, mirror=root / "mirror", progress=quiet)
                return data.train.text  # type: ignore[no-any-return]

        strings, expected = cold(), by_hand()
        assert strings == expected, "both must give the same lines"
        runs = {work: [processor_time(work) for _ in range(given.rounds)] for work in (by_hand, decode, cold)}
        least = {work: min(times) for work, times in runs.items()}
        array, at, some = pa.array(expected), given.lines // 3, slice(given.lines // 2, given.lines // 2 + 1000)
        rows = [
            ("first `get`, s", least[cold], least[by_hand]),
            ("decoding alone, s", least[decode], least[by_hand]),
            (
                "one string by its index, µs",
                microseconds(lambda: strings[at], 20_000),
                microseconds(lambda: array[at].as_py(), 20_000),
            ),
            (
                "`list` of a slice of 1,000, µs",
                microseconds(lambda: list(strings[some]), 200),
                microseconds(lambda: array[some].to_pylist(), 200),
            ),
            ("`list` of all, s", microseconds(lambda: list(strings), 1) / 1e6, microseconds(array.to_pylist, 1) / 1e6),
        ]
        print(f"{given.lines:,} lines, {path.stat().st_size / 1e6:.0f} MB\n")
        print("| what | here | by hand, or pyarrow | ratio |\n|---|---|---|---|")
        for what, ours, theirs in rows:
            print(f"| {what} | {ours:.3g} | {theirs:.3g} | {ours / theirs:.2f} |")


def quiet(*_: object) -> None:
    """Show no progress."""


if __name__ == "__main__":
    main()
