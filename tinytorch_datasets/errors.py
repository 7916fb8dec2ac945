"""Every exception of the package.

DatasetError                    every error of this package; says what, where and the hint
|-- ManifestError               datasets.yaml is wrong; `problems` has them all, each with its line
|-- LockError                   a lock file cannot be read, or is none; `path` is the file
|-- UsageError                  what was asked for cannot be done as it was asked
|-- MissingLibrary              a format needs a library that is not installed; `name` is the library
|-- UnknownName                 no data set (or split, or field) of that name; `guess` is the nearest
|-- FetchError                  no mirror gave the file; `tried` has each URL and why it failed
|   |-- OfflineError            the file is missing, and no socket may be opened
|   `-- NetworkSettingsError    a variable names a proxy, or certificates, that cannot be used
|-- StorageError                the disk is full, read-only or not ours; `path` is where
|-- VerifyError                 the bytes are not the declared ones
|   |-- MissingFile             there is no such file
|   |-- ChangedFile             it was changed while it was read
|   `-- HashMismatch            its size or sha256 differs; `expected` and `actual` say how
`-- DecodeError                 the bytes are not what their format says; `path` is the file
    |-- UnsafePickle            a pickle asks for more than arrays; `names` is what it asked for
    `-- ContentError            well-formed, but not what the manifest declares
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self  # Python 3.10 has none of its own


Keys = tuple[str | int, ...]
Problems = Iterator[tuple[Keys, str]]


# Whatever reads such a pickle runs what it asks for; only its author knows whether that may be.
CONVERT_IT = "Have whoever made it save its arrays as NPZ, and declare that file; do not load this one by other means."
NAMES_SHOWN = 20
PROBLEMS_SHOWN = 20
NOTHING = " Nothing was downloaded."


class DatasetError(Exception):
    """Something about a data set is wrong. Every error of this package is one.

    Attributes:
        what: What is wrong, in one sentence or a few lines.
        where: The place in the manifest that declares otherwise (``datasets.yaml:41``), if there is one.
        hint: What to do about it, if anything can be done.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None, **facts: Any) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint
        self._facts = tuple(facts)
        for name, fact in facts.items():
            setattr(self, name, fact)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  declared at {self.where}")
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)

    def with_context(self, *, where: str | None = None, hint: str | None = None) -> Self:
        """Add what whoever lets the error pass knows of it: the line and the hint, where it has none yet."""
        self.where = self.where or where or None
        self.hint = self.hint or hint
        return self

    def __reduce__(self) -> tuple[Callable[..., DatasetError], tuple[Any, ...]]:
        # Exceptions pickle as cls(*args) by default, which loses keyword facts; worker processes raise these.
        facts = {name: getattr(self, name) for name in ("where", "hint", *self._facts)}
        return _rebuild, (type(self), self.what, facts)


def _rebuild(cls: type[DatasetError], what: str, facts: dict[str, Any]) -> DatasetError:
    error = cls.__new__(cls, what)
    DatasetError.__init__(error, what, **facts)
    return error


class Problem(NamedTuple):
    """One thing that is wrong in a manifest: `line` (from 1), `key` (``mnist.format``) and `what`.

    `dataset` is the name of the data set that has it, which may have dots as well; "" where it is of none.
    """

    line: int
    key: str
    what: str
    dataset: str = ""


class ManifestError(DatasetError, ValueError):
    """The manifest cannot be used. `problems` lists all that is wrong with it, in the order of their lines.

    The error's text has the first twenty of them, and their number. `path` is the file; where others include it,
    `included_at` are their lines, the nearest first. `also` has the errors of other files, if several cannot be used.
    """

    problems: tuple[Problem, ...]
    path: Path
    included_at: tuple[str, ...]
    also: tuple[ManifestError, ...]

    def __init__(self, path: Path, problems: Sequence[Problem], included_at: Any = (), also: Any = ()) -> None:
        lines = [f"{path.name}:{p.line}: {p.key + ': ' if p.key else ''}{p.what}" for p in problems[:PROBLEMS_SHOWN]]
        if len(problems) > PROBLEMS_SHOWN:
            lines.append(f"... and {len(problems) - PROBLEMS_SHOWN:,} more, which `audit --json` has")
        count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
        lines.append(f"{count} in {path}{''.join(f', included at {place}' for place in included_at)}.")
        what = "\n".join([*lines, *(error.what.removesuffix(NOTHING) for error in also)]) + NOTHING
        super().__init__(what, path=path, problems=tuple(problems), included_at=tuple(included_at), also=tuple(also))

    def __reduce__(self) -> tuple[Callable[..., DatasetError], tuple[Any, ...]]:
        return ManifestError, (self.path, self.problems, self.included_at, self.also)


class LockError(DatasetError, ValueError):
    """What `audit` is to compare with cannot be read, or is no lock file. `path` is the file."""

    path: Path


class UsageError(DatasetError, ValueError):
    """What was asked for cannot be done as it was asked; nothing was changed."""


class MissingLibrary(DatasetError, ImportError):
    """A library is not installed that is needed. `name` is the library, `extra` the extra that brings it."""

    extra: str

    def __init__(self, needing: str, library: str, extra: str) -> None:
        what = f"{needing} needs {library}, which is not installed"
        super().__init__(what, hint=f"pip install 'tinytorch-datasets[{extra}]'", name=library, extra=extra)


class StandInWarning(UserWarning):
    """What `get` returned is stand-in data, made up from a declaration: nothing measured on it says anything."""


class UnknownName(DatasetError, KeyError):
    """There is no such name. `name` is what was asked for, `known` what there is, `guess` the nearest or None."""

    name: str
    known: tuple[str, ...]
    guess: str | None

    def __init__(self, name: str, known: Iterable[str], *, kind: str = "data set", place: str | None = None) -> None:
        known = tuple(known)
        what = f"no {kind} named {name!r}" + (f" in {place}" if place else "") + did_you_mean(name, known)
        super().__init__(what, hint=list_known(known), name=name, known=known, guess=nearest(name, known))


def list_known(known: Sequence[str]) -> str:
    """Return all names, or, of thousands, enough to see what they are like."""
    if len(known) <= NAMES_SHOWN:
        return f"There are: {', '.join(known)}." if known else "There are none."
    return f"There are: {', '.join(known[:NAMES_SHOWN])}, and {len(known) - NAMES_SHOWN:,} more."


class FetchError(DatasetError, ConnectionError):
    """No mirror gave the declared file. `file` is its name, `tried` each URL with why it failed, in order."""

    file: str
    tried: tuple[tuple[str, str], ...]
    network_failed: bool = False  # no mirror was reached at all, so nothing is known of the file


class OfflineError(FetchError):
    """The file is not here and no socket may be opened. `missing` is each such file with its size in bytes.

    `tried` has what was found in its place in the folder that was given as the mirror, with why it was refused.
    """

    missing: tuple[tuple[str, int], ...]
    network_failed: bool = True


class NetworkSettingsError(FetchError):
    """A proxy or a certificate file cannot be used. `variable` is the environment's variable that names it."""

    variable: str
    network_failed: bool = True


class StorageError(DatasetError, OSError):
    """A file or folder cannot be used: the disk is full or read-only, or it belongs to someone else.

    `path` is the one. Where the system refused, `errno` is its number, and `action` what it refused: "read", "written".
    """

    path: Path
    action: str = ""


class VerifyError(DatasetError):
    """A file does not hold the declared bytes. `path` is the file."""

    path: Path


class MissingFile(VerifyError, FileNotFoundError):
    """A file that should be on disk is not. `path` is where it was looked for."""


class ChangedFile(VerifyError):
    """A file was changed by another program after it was found right, and before all of it was read."""


class HashMismatch(VerifyError):
    """A file is not the declared one. `expected` and `actual` are sha256 digests, or sizes when those differ first."""

    expected: str | int
    actual: str | int


# What of a file's contents can be another than declared: of one field, of a split, or ("bytes") of the file.
Aspect = Literal["samples", "rows", "dtype", "shape", "range", "labels", "sha256", "copy", "bytes"]


class DecodeError(DatasetError, ValueError):
    """A file is not what its format says. `path` is the file, `reason` what is wrong with it.

    `keys` is the path, below the data set's entry, of a value that does not fit the file, where it is one value: of
    an option that names a column which is not there, ``("options", "columns", "labels")``.
    """

    path: Path
    reason: str
    keys: Keys = ()

    def __init__(self, path: Path, reason: str, **more: Any) -> None:
        super().__init__(f"{path}: {reason}", path=path, reason=reason, **more)


class UnsafePickle(DecodeError):
    """A pickle asks for something that is not part of an array. `names` is what it asked for (``os.system``)."""

    names: tuple[str, ...]

    def __init__(self, path: Path, reason: str, **more: Any) -> None:
        super().__init__(path, reason, **{"hint": CONVERT_IT, **more})


class ContentError(DecodeError):
    """The file is well-formed but holds something else than declared. `expected` and `actual` say what.

    Attributes:
        aspect: What of it is another one.
        column: The field and its split (``train.images``), where it is one field's.
        split: The split, where it is one split's as a whole.
    """

    aspect: Aspect
    expected: Any
    actual: Any
    column: str | None
    split: str | None

    def __init__(
        self,
        path: Path,
        reason: str,
        *,
        aspect: Aspect,
        expected: Any,
        actual: Any,
        column: str | None = None,
        split: str | None = None,
        **more: Any,
    ) -> None:
        facts = {"aspect": aspect, "expected": expected, "actual": actual, "column": column, "split": split}
        super().__init__(path, reason, **facts, **more)


# The least of difflib's ratios at which a name is taken for another one, misspelled; and the longest name that is
# compared at all, because those in a file may be of any length.
NEAR = 0.6
MOST_GUESSED_CHARACTERS = 64
# So many names are compared for all guesses together while one manifest is checked: each of thousands of wrong names
# could be any of thousands of others.
MOST_COMPARED = 20_000

_comparisons: ContextVar[list[int] | None] = ContextVar("comparisons", default=None)


@contextmanager
def bounded_guesses() -> Iterator[None]:
    """Bound the work of all guesses made inside: once so many names were compared, no more is guessed."""
    token = _comparisons.set([MOST_COMPARED])
    try:
        yield
    finally:
        _comparisons.reset(token)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the nearest known name, or nothing.

    >>> did_you_mean("imgaes", ["images", "labels"]), did_you_mean("imgaes", [])
    ("; did you mean 'images'?", '')
    """
    guess = nearest(name, known)
    return f"; did you mean {guess!r}?" if guess else ""


def refuse_to_set(holder: object, name: str, own: type) -> None:
    """Refuse to set an attribute: everybody in a process who gets a data set gets the same one.

    A class of one's own may have what it likes; `own` is the class that is not one.
    """
    if not name.startswith("_") and type(holder) is own:
        msg = f"{name!r} cannot be set: a {own.__name__.lower()} stays as it was declared; use a variable"
        raise AttributeError(msg, name=name, obj=holder)


def check_flag(given: Any, name: str) -> None:
    """Refuse what is neither true nor false: a text such as "no" would count as true.

    Raises:
        UsageError: It is neither.
    """
    if not isinstance(given, bool) and type(given).__name__ not in ("bool", "bool_"):  # NumPy's
        msg = f"{name} is True or False, not {given!r}"
        raise UsageError(msg)


def check_choice(given: Any, name: str, choices: Sequence[str]) -> None:
    """Refuse what is none of the choices.

    Raises:
        UsageError: It is none.
    """
    if not isinstance(given, str) or given not in choices:
        *others, last = (f'"{choice}"' for choice in choices)
        msg = f"{name} is {', '.join(others)} or {last}, not {given!r}{did_you_mean(str(given), choices)}"
        raise UsageError(msg)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` was most likely meant to be, or None if nothing is near.

    >>> nearest("cifar-10", ["mnist", "cifar10"])
    'cifar10'
    """
    if len(name) > MOST_GUESSED_CHARACTERS:
        return None
    left = _comparisons.get()
    if left is not None:
        known = tuple(known)
        left[0] -= len(known)
        if left[0] < 0:
            return None
    word = _fold(name)
    folded = {candidate: k for k in known if _may_be_near(word, candidate := _fold(k))}
    if not folded:
        return None
    import difflib  # only when a name is wrong, and another is near

    close = difflib.get_close_matches(word, folded, n=1, cutoff=NEAR)
    return folded[close[0]] if close else None


def _may_be_near(word: str, candidate: str) -> bool:
    """Check whether so many letters of one are in the other that difflib need be asked; a manifest may have thousands.

    Its ratio is twice the letters that match over those of both, and only letters that both have can match.
    """
    common = min(sum(letter in candidate for letter in word), len(candidate))
    return 2 * common >= NEAR * (len(word) + len(candidate))


def _fold(name: str) -> str:
    return str(name).casefold().replace("-", "").replace("_", "").replace(" ", "")


LAYOUT = "\n\xa0\u202f\u3000"  # the lines of a message, and blanks that numbers and scripts are written with


def printable(text: str, *, keep: str = "") -> str:
    r"""Write out every control code of a text that may have come from outside, but for those to keep.

    A terminal obeys them, and a message has lines and colors of its own.

    >>> printable("a\x1b]0;title\x07b"), printable("two\nlines"), printable("two\nlines", keep=LAYOUT)
    ('a\\x1b]0;title\\x07b', 'two\\nlines', 'two\nlines')
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in text)
