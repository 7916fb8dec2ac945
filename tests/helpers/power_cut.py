"""What a disk may have after a power cut, rebuilt from what a program asked of it.

`strace` notes every call that writes. From that log come the states that a file system may be left in: all names as
they were at some moment, and of each file only what an fsync had put on the disk, the rest of it lost as zeros or cut
off. A file system keeps the order of names by itself; of data it keeps what it likes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Loss = Literal["none", "short", "zeros"]

_CALLS = (
    "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,lseek,ftruncate,truncate,fallocate,fsync,fdatasync,"
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,close,dup,dup2,dup3,"
    "mmap,sendfile,copy_file_range"
)
_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?|0x[0-9a-f]+)(?:<([^>]*)>)?.*")
_UNFINISHED, _RESUMED = re.compile(r"(\d+) +(.*) <unfinished \.\.\.>"), re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")


def why_not() -> str:
    """Return why calls cannot be noted here; "" if they can."""
    if shutil.which("strace") is None:
        return "strace is not installed, by which the calls of a program are noted"
    done = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return f"strace may not watch processes here: {done.stderr.strip()}" if done.returncode else ""


@dataclass(eq=False)
class File:
    """A file, whatever its name: what was written, and what of it is surely on the disk."""

    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""

    def left(self, loss: Loss) -> bytes:
        """Return what a power cut leaves of it now."""
        if loss == "none":
            return bytes(self.data)
        if loss == "short":
            return self.synced
        kept = self.synced[: len(self.data)]
        kept = bytes(a if a == b else 0 for a, b in zip(kept, self.data, strict=False))
        return kept + bytes(len(self.data) - len(kept))


Names = Mapping[str, File | None]  # by path below the folder; None is a folder


@dataclass(frozen=True)
class Moment:
    """All names and files of a folder between two calls, and what each file would have left."""

    names: Names
    left: Mapping[Loss, Mapping[File, bytes]]


def watch(folder: Path, command: Sequence[str], env: Mapping[str, str], log: Path) -> list[Moment]:
    """Run a command, and return every moment at which what is below `folder` changed."""
    watched = ["strace", "-f", "-y", "-xx", "-s", str(2**26), "-qq", "-e", "signal=none", "-e", f"trace={_CALLS}"]
    before = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    names: dict[str, File | None] = {
        name: None if path.is_dir() else File(bytearray(path.read_bytes()), path.read_bytes())
        for name, path in before.items()
    }
    done = subprocess.run(
        [*watched, "-o", str(log), *command], env=dict(env), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(_moments(_Disk(os.path.realpath(folder), names), _lines(log)))


def _lines(log: Path) -> Iterator[tuple[str, list[str], int, str]]:
    """Yield each call that succeeded: its name, its arguments, its result, and the path that it opened."""
    begun: dict[str, str] = {}
    for line in log.read_text(encoding="ascii").splitlines():
        if half := _UNFINISHED.fullmatch(line):
            begun[half[1]] = half[2]
            continue
        if rest := _RESUMED.fullmatch(line):
            line = f"{rest[1]} {begun.pop(rest[1])}{rest[2]}"
        parts = _LINE.fullmatch(line)
        if parts and parts[4][0].isdigit():
            yield parts[2], parts[3].split(", "), int(parts[4], 0), _text(parts[5] or "")


def _bytes(shown: str) -> bytes:
    assert "..." not in shown, "strace cut a text short"
    return bytes.fromhex("".join(re.findall(r"\\x([0-9a-f]{2})", shown)))


def _text(shown: str) -> str:
    return os.fsdecode(_bytes(shown))


class _Disk:
    """The names and files below a folder, as calls change them."""

    def __init__(self, root: str, names: dict[str, File | None]) -> None:
        self._root, self.names = root, names
        self._open: dict[int, tuple[File | None, int]] = {}

    def _name(self, path: str, base: str = "") -> str | None:
        path = os.path.normpath(f"{base}/{path}" if not path.startswith("/") else path)
        return os.path.relpath(path, self._root) if path.startswith(self._root + os.sep) else None

    def _argument(self, shown: str, base: str = "") -> str | None:
        return self._name(_text(shown), base)

    def call(self, call: str, args: list[str], result: int, opened: str) -> bool:
        """Do what a call did; whether it changed names or data, or put any on the disk."""
        base = _text(args[0].partition("<")[2]) if call.endswith(("at", "at2")) else ""
        if call in ("open", "openat", "creat"):
            return self._opened(result, self._name(opened), args[1 if call == "open" else 2] if len(args) > 1 else "")
        if call in ("mkdir", "mkdirat"):
            return self._set(self._argument(args[call == "mkdirat"], base), None)
        if call in ("unlink", "unlinkat", "rmdir"):
            name = self._argument(args[call == "unlinkat"], base)
            return name is not None and (self.names.pop(name, None), True)[1]
        if call in ("rename", "renameat", "renameat2"):
            old, new = (0, 1) if call == "rename" else (1, 3)
            other = "" if call == "rename" else _text(args[2].partition("<")[2])
            return self._renamed(self._argument(args[old], base), self._argument(args[new], other))
        if call in ("link", "linkat"):
            old, new = (0, 1) if call == "link" else (1, 3)
            source, target = self._argument(args[old], base), self._argument(args[new], base)
            return source in self.names and self._set(target, self.names[source])
        fd = int(args[0].partition("<")[0], 0) if args[0][:1].isdigit() else -1
        if call == "mmap":
            is_written = "PROT_WRITE" in args[2] and "MAP_SHARED" in args[3] and args[4] != "-1"
            assert not (is_written and int(args[4].partition("<")[0]) in self._open), "a map of a file is written to"
            return False
        if fd not in self._open:
            return False
        file, at = self._open[fd]
        assert call not in ("sendfile", "copy_file_range", "writev", "pwritev", "pwritev2", "dup", "dup2", "dup3"), call
        if call == "close":
            del self._open[fd]
        elif call == "lseek":
            self._open[fd] = file, result
        elif file is None:
            return False
        elif call in ("write", "pwrite64"):
            begin, data = at if call == "write" else int(args[3]), _bytes(args[1])[:result]
            file.data.extend(bytes(max(0, begin - len(file.data))))
            file.data[begin : begin + len(data)] = data
            if call == "write":
                self._open[fd] = file, begin + result
        elif call == "ftruncate":
            size = int(args[1])
            file.data[:] = file.data[:size] + bytes(max(0, size - len(file.data)))
        elif call == "fallocate":
            file.data.extend(bytes(max(0, int(args[2]) + int(args[3]) - len(file.data))) if args[1] == "0" else b"")
        elif call in ("fsync", "fdatasync"):
            file.synced = bytes(file.data)
        return call in ("write", "pwrite64", "ftruncate", "fallocate", "fsync", "fdatasync")

    def _set(self, name: str | None, file: File | None) -> bool:
        if name is None:
            return False
        self.names[name] = file
        return True

    def _opened(self, fd: int, name: str | None, flags: str) -> bool:
        self._open.pop(fd, None)
        if name is None or name == os.curdir:
            return False
        is_new = name not in self.names
        if is_new and "O_CREAT" not in flags:
            return False
        file = self.names.setdefault(name, File())
        if file is not None and "O_TRUNC" in flags:
            file.data.clear()
        self._open[fd] = file, len(file.data) if file and "O_APPEND" in flags else 0
        return is_new or "O_TRUNC" in flags

    def _renamed(self, old: str | None, new: str | None) -> bool:
        if old is None or new is None or old not in self.names:
            return False
        moved = [name for name in self.names if name == old or name.startswith(old + os.sep)]
        for name in moved:
            self.names[new + name[len(old) :]] = self.names.pop(name)
        return True


def _moments(disk: _Disk, lines: Iterator[tuple[str, list[str], int, str]]) -> Iterator[Moment]:
    for line in lines:
        if disk.call(*line):
            files = [file for file in disk.names.values() if file is not None]
            losses: tuple[Loss, ...] = ("none", "short", "zeros")
            yield Moment(dict(disk.names), {loss: {file: file.left(loss) for file in files} for loss in losses})


def rebuild(folder: Path, moment: Moment, losses: Mapping[str, Loss], noted: Mapping[str, list[int]]) -> None:
    """Make the folder what a power cut at that moment left: of each file what its loss is, nothing if none is named.

    `noted` are the size, times and inode of each file as the program saw them. A cut does not change them, but a file
    that is written here has others; so what stands in notes (JSON) is replaced by what the file has now.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in sorted(name for name, file in moment.names.items() if file is None):
        (folder / name).mkdir(parents=True, exist_ok=True)
    notes = []
    for name, file in moment.names.items():
        if file is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(moment.left[losses.get(name, "none")][file])
            notes.append(folder / name)
    now = {name: (folder / name).stat() for name in noted if (folder / name).exists()}
    renewed = {
        tuple(old): [now[name].st_size, now[name].st_mtime_ns, now[name].st_ctime_ns, now[name].st_ino]
        for name, old in noted.items()
        if name in now and now[name].st_size == old[0]
    }
    for path in notes:
        try:
            note = json.loads(path.read_bytes())
        except ValueError:
            continue
        path.write_bytes(json.dumps(_renewed(note, renewed)).encode())


def _renewed(note: Any, renewed: Mapping[tuple[int, ...], list[int]]) -> Any:
    if isinstance(note, dict):
        return {key: _renewed(value, renewed) for key, value in note.items()}
    if isinstance(note, list):
        if note and all(type(item) is int for item in note):
            return renewed.get(tuple(note), note)
        return [_renewed(item, renewed) for item in note]
    return note
