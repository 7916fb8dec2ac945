"""Files against their declared size and SHA-256, with messages for a mismatch.

A file is hashed once, and so is a decoded array. A stamp remembers it as it was then; while the stamp still fits, its
hash is known and nothing is read. `Mode` "always" reads every byte whatever the stamp says.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from tinytorch_datasets.digests import sha256_of
from tinytorch_datasets.errors import ChangedFile, HashMismatch
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.storage.files import bytes_of, reading
from tinytorch_datasets.storage.memmap import stat_signature
from tinytorch_datasets.storage.stat_cache import Mode, StatCache
from tinytorch_datasets.verify.diagnose import LFS_POINTER


def check_size(path: Path, promised: File, *, hint: str) -> None:
    """Make sure that there is a file at `path`, and that it has the promised size.

    Raises:
        MissingFile: It is not there.
        HashMismatch: Its size is another.
        StorageError: It cannot be looked at.
    """
    with reading(path, where=promised.where or None, hint=hint):
        size = bytes_of(path)
    if size != promised.bytes:
        raise mismatch_error(path, promised, size, hint=hint)


def mismatch_error(path: Path, promised: File, actual: int | str, *, hint: str) -> HashMismatch:
    """The error for a file of another size than the promised one, or of another sha256."""
    expected: int | str
    if isinstance(actual, int):
        what, expected = describe_mismatch(path, promised, size=actual), promised.bytes
    else:
        what, expected = describe_mismatch(path, promised, sha256=actual), promised.sha256
    if _is_lfs_pointer(path):
        what, hint = f"{path} is a Git LFS pointer, not the file itself", "Run `git lfs pull`."
    return HashMismatch(what, where=promised.where or None, hint=hint, path=path, expected=expected, actual=actual)


def describe_mismatch(path: Path, promised: File, *, size: int | None = None, sha256: str | None = None) -> str:
    """What differs between a file and its promise, in a sentence.

    >>> print(describe_mismatch(Path("train.csv"), File("train.csv", 7, "ab", ()), size=6, sha256="cd"))
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


def _is_lfs_pointer(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as stream:
        return stream.read(len(LFS_POINTER)) == LFS_POINTER
    return False


def check(path: Path, promised: File, *, mode: Mode, stamps: StatCache, hint: str) -> None:
    """Make sure that the file at `path` is the promised one.

    Raises:
        MissingFile: It is not there.
        HashMismatch: Its size or its sha256 is another.
        StorageError: It cannot be read.
    """
    check_size(path, promised, hint=hint)
    with reading(path, where=promised.where or None, hint=hint):
        seen = stat_signature(path)
        known = stamps.sha256(path) if mode == "auto" else None
        actual = known or sha256_of(path)
        if actual != promised.sha256:
            raise mismatch_error(path, promised, actual, hint=hint)
        if known is None:
            stamps.remember(path, actual, seen)


def unchanged(plan: Plan, stamps: StatCache) -> None:
    """Make sure that every file of a plan is still as it was when it was found right.

    One that was only touched, as a hard link to it does, is hashed again.

    Raises:
        ChangedFile: One was changed since, or is gone.
    """
    for file in plan.files:
        path = plan.root / file.name
        with contextlib.suppress(OSError):
            if stamps.sha256(path) == file.sha256:
                continue
            if (touched := stamps.only_touched(path)) and sha256_of(path) == file.sha256:
                stamps.remember(path, file.sha256, touched)
                continue
        what = f"{path} was changed by another program while it was read"
        raise ChangedFile(what, where=file.where, hint="Leave it alone, and ask again.", path=path)
