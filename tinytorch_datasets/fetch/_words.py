"""How is it told that a file could not be brought, and what to do about it?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinytorch_datasets.errors import FetchError, OfflineError
from tinytorch_datasets.plan import File

from ._answer import Kind, Trouble

ANOTHER = "Name a folder that is there as the mirror"


def command(dataset: str) -> str:
    """What to type to fetch the data set."""
    return f"`tinytorch-datasets get {dataset or 'NAME'}`"


def not_brought(
    file: File, tried: Sequence[tuple[str, Trouble]], target: Path, dataset: str, bytes_here: int
) -> FetchError:
    """The error for a file that no mirror gave. `tried` has the trouble with each."""
    told = tuple((url, trouble.reason) for url, trouble in tried)
    if not tried:
        what = f"{file.name}: no mirror is declared for this file"
        mend = f"Put the file itself at {target}, or name a mirror with TINYTORCH_DATASETS_MIRROR."
    else:
        mirrors = "the one mirror" if len(tried) == 1 else f"any of {len(tried)} mirrors"
        what = "\n".join((f"{file.name} could not be had from {mirrors}:", *(f"  {url}: {why}" for url, why in told)))
        mend = _mend([trouble.kind for _, trouble in tried], target, dataset, bytes_here)
    return FetchError(what, where=file.where or None, mend=mend, file=file.name, tried=told)


def _mend(kinds: Sequence[Kind | None], target: Path, dataset: str, bytes_here: int) -> str:
    again = f"run {command(dataset)} again"
    kept = f" ({bytes_here:,} bytes are kept)" if bytes_here else ""
    if Kind.LOGIN_PAGE in kinds:
        return f"Open any page in a browser and log in to the network, then {again}{kept}."
    astray = Kind.NO_FOLDER in kinds
    others = [kind for kind in kinds if kind is not Kind.NO_FOLDER]
    if others and all(kind is Kind.NO_NETWORK for kind in others):
        stick = ", or name another folder as the mirror," if astray else ""
        return f"Connect to a network{stick} and {again}{kept}."
    first = f"{ANOTHER}, or an address with http:// or https://, and" if astray else "Try later:"
    return f"{first} {again}{kept}. Or put the file itself at {target}, from wherever you can get it."


def not_here(missing: Sequence[File], dataset: str, into: Path, astray: Path | None) -> OfflineError:
    """The error for files that would have to be fetched, where no socket may be opened.

    `astray` is the folder that was given as the mirror, if there is none.
    """
    whose = f" of {dataset}" if dataset else ""
    count, are, them = ("1 file", "is", "it") if len(missing) == 1 else (f"{len(missing)} files", "are", "them")
    lines = [f"{count}{whose} {are} not here, and offline nothing is fetched:"]
    lines += [f"  {file.name}, {file.bytes:,} bytes" for file in missing]
    mend = f"Run {command(dataset)} where there is a network, or put {them} into {into}."
    if astray is not None:
        lines.append(f"  {astray}: there is no such folder")
        mend = f"{ANOTHER}. Or r{mend[1:]}"
    return OfflineError(
        "\n".join(lines),
        where=missing[0].where or None,
        mend=mend,
        file=missing[0].name,
        tried=(),
        missing=tuple((file.name, file.bytes) for file in missing),
    )
