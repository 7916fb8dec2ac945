"""Is every byte of every file the promised one, and if not, what happened to it?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from tinytorch_datasets.diagnosis import HEAD_BYTES, LFS_POINTER, describe
from tinytorch_datasets.findings import Finding
from tinytorch_datasets.hashing import Digest
from tinytorch_datasets.manifest import Manifest
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.promises import unlike

# A text larger than this is not converted to find out whether its line endings were.
CONVERTED_BYTES = 2**26


def compared(book: Manifest, plan: Plan, digests: Mapping[Path, Digest | OSError], mend: str) -> Iterator[Finding]:
    """What differs between a data set's files, as they were hashed, and their promises."""
    declared = book.entry(plan.name).files
    for file in plan.files:
        path = plan.root / file.name
        if path in digests:
            yield from difference(plan, file, path, digests[path], mend, siblings=plan.files)
            digest, md5 = digests[path], declared[file.name].md5
            if isinstance(digest, Digest) and digest.sha256 == file.sha256 and digest.md5 not in (None, md5):
                yield Finding(
                    rule="file-hash",
                    dataset=plan.name,
                    what=f"{path} has the declared sha256, but another MD5:\n    {digest.md5}, declared is\n    {md5}",
                    path=str(path),
                    where=book.where(plan.name, "files", file.name, "md5"),
                    expected=md5,
                    found=digest.md5,
                    mend="Correct the MD5 in the manifest.",
                )


def difference(
    plan: Plan, file: File, path: Path, digest: Digest | OSError, mend: str, *, siblings: Iterable[File] = ()
) -> Iterator[Finding]:
    """What differs between one file and its promise, and the best explanation of it."""
    tell = partial(Finding, dataset=plan.name, path=str(path), where=file.where, mend=mend)
    if isinstance(digest, OSError):
        gone = isinstance(digest, FileNotFoundError)
        what = f"{path} is missing" if gone else f"{path} cannot be read: {digest.strerror}"
        yield tell(rule="file-missing", what=what, expected=file.sha256, found=None)
        return
    if digest.sha256 == file.sha256 and digest.bytes == file.bytes:
        return
    if digest.sha256 == file.sha256:
        what = f"{path} has {digest.bytes:,} bytes and the declared sha256; declared are {file.bytes:,} bytes"
        mend = "Correct the size in the manifest."
        yield tell(rule="file-size", what=what, expected=file.bytes, found=digest.bytes, mend=mend)
        return
    rule = "file-hash" if digest.bytes == file.bytes else "file-size"
    what = unlike(path, file, size=digest.bytes, sha256=digest.sha256)
    if twin := next((other for other in siblings if other.sha256 == digest.sha256), None):
        rule = "file-swapped"
        what += (
            f"\n    That is what is declared for {twin.name}: the two were swapped, or one was copied over the other."
        )
    elif (explained := _explained(path, file, digest)) is not None:
        rule, what, mend = explained[0] or rule, what + f"\n    {explained[1]}", explained[2] or mend
    sizes = rule == "file-size"
    yield tell(
        rule=rule,
        what=what,
        mend=mend,
        expected=file.bytes if sizes else file.sha256,
        found=digest.bytes if sizes else digest.sha256,
    )


def _explained(path: Path, file: File, digest: Digest) -> tuple[str, str, str] | None:
    """The kind of damage, what to say of it and its mend, where the bytes themselves tell."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if head.startswith(LFS_POINTER):
        return "lfs-pointer", "It is a Git LFS pointer, not the file itself.", "Run `git lfs pull`."
    if digest.bytes <= CONVERTED_BYTES and b"\0" not in head:
        data = path.read_bytes()
        unix = data.replace(b"\r\n", b"\n")
        for ends, converted in (("LF to CR LF", unix), ("CR LF to LF", unix.replace(b"\n", b"\r\n"))):
            if converted != data and hashlib.sha256(converted).hexdigest() == file.sha256:
                mend = f"Write `{file.name} -text` into .gitattributes, delete the file, and check it out again."
                return "line-endings", f"Its line endings were converted from {ends}, and nothing else differs.", mend
    guess = describe(head, file.name, bytes_came=digest.bytes, bytes_declared=file.bytes)
    return ("", f"It looks like {guess}.", "") if guess else None
