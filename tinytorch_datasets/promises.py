"""How is it told that a file is not the promised one?"""

from __future__ import annotations

import contextlib
from pathlib import Path

from tinytorch_datasets.diagnosis import LFS_POINTER
from tinytorch_datasets.disk import bytes_of, reading
from tinytorch_datasets.errors import HashMismatch
from tinytorch_datasets.plan import File


def check_size(path: Path, promised: File, *, mend: str) -> None:
    """Make sure that there is a file at `path`, and that it has the promised size.

    Raises:
        MissingFile: It is not there.
        HashMismatch: Its size is another.
        StorageError: It cannot be looked at.
    """
    with reading(path, where=promised.where or None, mend=mend):
        size = bytes_of(path)
    if size != promised.bytes:
        raise broken(path, promised, size, mend=mend)


def broken(path: Path, promised: File, actual: int | str, *, mend: str) -> HashMismatch:
    """The error for a file of another size than the promised one, or of another sha256."""
    expected: int | str
    if isinstance(actual, int):
        what, expected = unlike(path, promised, size=actual), promised.bytes
    else:
        what, expected = unlike(path, promised, sha256=actual), promised.sha256
    if _is_lfs_pointer(path):
        what, mend = f"{path} is a Git LFS pointer, not the file itself", "Run `git lfs pull`."
    return HashMismatch(what, where=promised.where or None, mend=mend, path=path, expected=expected, actual=actual)


def unlike(path: Path, promised: File, *, size: int | None = None, sha256: str | None = None) -> str:
    """What differs between a file and its promise, in a sentence.

    >>> print(unlike(Path("train.csv"), File("train.csv", 7, "ab", ()), size=6, sha256="cd"))
    train.csv is not the promised file: it has 6 bytes, declared are 7; it has sha256
        cd, declared is
        ab
    """
    differs = []
    if size not in (None, promised.bytes):
        differs.append(f"it has {size:,} bytes, declared are {promised.bytes:,}")
    if sha256 not in (None, promised.sha256):
        differs.append(f"it has sha256\n    {sha256}, declared is\n    {promised.sha256}")
    return f"{path} is not the promised file: {'; '.join(differs)}"


def get_anew(dataset: str) -> str:
    """What a person does about a fetched file that is not right."""
    return f"Delete it and run `tinytorch-datasets get {dataset or 'NAME'}`; if it happens again, report the mirror."


def _is_lfs_pointer(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as stream:
        return stream.read(len(LFS_POINTER)) == LFS_POINTER
    return False
