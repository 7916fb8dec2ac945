"""The folder of decoded arrays: read once, and believed only as far as it can be."""

from __future__ import annotations

import collections
import shutil
import subprocess
import sys
from pathlib import Path

from tinytorch_datasets import get

# Counts what a process opens, by an audit hook that is there before anything is imported.
COUNTING = """
import collections, sys
opened = collections.Counter()
sys.addaudithook(lambda event, args: opened.update([str(args[0])]) if event == "open" else None)
from tinytorch_datasets import get
images = get({name!r}).train.images
print(*(f"{{count}} {{path}}" for path, count in opened.items() if "/.cache/arrays/" in path), sep="\\n")
"""


def opened_by_a_get(name: str) -> collections.Counter[str]:
    """How often a fresh process opens each file of decoded arrays for one `get`."""
    code = COUNTING.format(name=name)
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    counts = (line.split(" ", 1) for line in lines.splitlines() if line)
    return collections.Counter({path: int(count) for count, path in counts})


def test_without_a_cache_entry_each_header_is_read_once(home: Path) -> None:
    """Every array is opened once: its header is read, and it is mapped, by one descriptor. So are the digests."""
    get("tinydigits")
    shutil.rmtree(home / ".cache" / "entries")
    (folder,) = (home / ".cache" / "arrays").iterdir()
    opened = opened_by_a_get("tinydigits")

    assert opened.pop(str(folder / "digests.json")) == 1
    assert opened == dict.fromkeys(map(str, folder.glob("*.npy")), 1)


def test_with_a_cache_entry_no_header_is_read(home: Path) -> None:
    """Every array is opened once, to be mapped."""
    get("tinydigits")
    (folder,) = (home / ".cache" / "arrays").iterdir()

    assert opened_by_a_get("tinydigits") == dict.fromkeys(map(str, folder.glob("*.npy")), 1)
