"""Fuzz one target with atheris: `python fuzz/fuzz.py TARGET [options of libFuzzer] [corpus folders]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tinytorch_datasets"]):
    import targets

    from tinytorch_datasets import formats

    for name in formats.known():
        formats.of(name)
    targets.load_manifest()


def main() -> None:
    """Hand everything that atheris thinks of to the target."""
    target = targets.TARGETS[sys.argv.pop(1)]
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        atheris.Setup(sys.argv, lambda data: target(data, Path(folder)))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
