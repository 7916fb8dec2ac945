"""The machine: what it is, and how it is brought to the same state before each run."""

from __future__ import annotations

import mmap
import os
import platform
from pathlib import Path

PAGE = mmap.PAGESIZE


def description() -> dict[str, str | int]:
    """Processor, cores, memory and system: what a reader needs to judge a number, and no name of the machine."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gib": round(_memory_bytes() / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def touch_memory(nbytes: int) -> None:
    """Touch so much memory and give it back, so that the next process gets pages that are there.

    A virtual machine may hand free pages back to its host; the first touch of such a page is ten times dearer than
    of one that was in use a moment ago, and who ran before decides who pays for it.
    """
    if nbytes:
        with mmap.mmap(-1, nbytes) as memory:
            memory[::PAGE] = bytes(len(range(0, nbytes, PAGE)))


def read_files(folder: Path) -> int:
    """Read every file below a folder, so that all of it is in memory; the bytes read."""
    done = 0
    buffer = bytearray(1 << 20)
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    done += count
    return done


def disk_bytes(folder: Path) -> int:
    """The bytes that the files below a folder have."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def load() -> float | None:
    """How many processes wanted to run in the last minute: above the number of cores, the numbers mean little."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
