"""Errors: the tree that is drawn is the tree there is, and they survive a trip between processes."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from tinytorch_datasets import errors
from tinytorch_datasets.errors import (
    ChangedFile,
    ContentError,
    DatasetError,
    DecodeError,
    FetchError,
    HashMismatch,
    LockError,
    ManifestError,
    MissingFile,
    MissingLibrary,
    NetworkSettingsError,
    OfflineError,
    Problem,
    StorageError,
    UnknownName,
    UnsafePickle,
    UsageError,
    VerifyError,
)

EXAMPLES = [
    DatasetError("all is wrong", where="datasets.yaml:3", hint="Correct it."),
    ManifestError(Path("datasets.yaml"), [Problem(3, "mnist.format", "is missing"), Problem(1, "", "not YAML")]),
    UnknownName("mnis", ["mnist", "cifar10"], place="datasets.yaml"),
    FetchError("no mirror gave it", file="a.gz", tried=(("https://example.org/a.gz", "404 Not Found"),)),
    OfflineError("not downloaded", file="a.gz", tried=(), missing=(("a.gz", 7),)),
    NetworkSettingsError("names no proxy", file="", tried=(), variable="HTTP_PROXY"),
    StorageError("the disk is full", path=Path("/full"), hint="Free some space."),
    LockError("x.lock is not a lock file", path=Path("x.lock"), hint="Write one."),
    UsageError("a name is lowercase letters"),
    MissingLibrary("format 'parquet'", "pyarrow", "tables"),
    VerifyError("not the declared bytes", path=Path("a.gz")),
    ChangedFile("it was changed meanwhile", path=Path("a.gz")),
    MissingFile("it is gone", path=Path("a.gz"), where="datasets.yaml:7"),
    HashMismatch("another file", path=Path("a.gz"), expected="aa", actual="bb"),
    DecodeError(Path("a.gz"), "cut short", where="datasets.yaml:9"),
    UnsafePickle(Path("a.pkl"), "asks for os.system", names=("os.system",)),
    ContentError(Path("a.gz"), "other shape", aspect="shape", expected=[1], actual=[2], column="train.x"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_from_a_worker_process_is_the_same_error(error: DatasetError) -> None:
    """Pool workers pickle what they raise; one that cannot be unpickled hangs the pool."""
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert {k: v for k, v in vars(again).items() if k != "__notes__"} == vars(error)


def test_every_class_has_an_example() -> None:
    """One that is new is asked for here."""
    classes = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, DatasetError)}

    assert {type(error) for error in EXAMPLES} == classes


def test_of_many_names_some_are_listed() -> None:
    """A manifest may have ten thousand; all of them are facts of the error."""
    names = [f"set{n}" for n in range(10_000)]
    error = UnknownName("x", names)

    assert error.known == tuple(names)
    assert str(error) == f"no data set named 'x'\n  There are: {', '.join(names[:20])}, and 9,980 more."
    assert str(UnknownName("x", [])) == "no data set named 'x'\n  There are none."


def test_the_drawn_tree_is_the_real_one() -> None:
    """The module's docstring draws every class below its base."""
    drawn: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"([| `-]*)([A-Z]\w+)  ", line)
        if found:
            drawn.append((len(found[1]), found[2]))
    parents: dict[str, str] = {}
    for i, (depth, name) in enumerate(drawn):
        above = [other for level, other in drawn[:i] if level < depth]
        nearest = [level for level, _ in drawn[:i] if level < depth]
        if above:
            parents[name] = max(zip(nearest, range(len(above)), above, strict=True))[2]
    real = {
        cls.__name__: cls.__bases__[0].__name__
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, DatasetError) and cls is not DatasetError
    }

    assert parents == real


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ManifestError, ValueError),
        (UnknownName, KeyError),
        (FetchError, ConnectionError),
        (StorageError, OSError),
        (MissingFile, FileNotFoundError),
        (DecodeError, ValueError),
        (MissingLibrary, ImportError),
    ],
)
def test_errors_are_also_what_people_already_catch(error: type[Exception], builtin: type[Exception]) -> None:
    """Code that does not know this package still handles them."""
    assert issubclass(error, builtin)


def test_an_error_reads_what_where_hint() -> None:
    """On a line each."""
    assert str(EXAMPLES[0]) == "all is wrong\n  declared at datasets.yaml:3\n  Correct it."


def test_context_fills_in_what_an_error_lacks() -> None:
    """The line and the hint that an error has from the start are nearer to the fault than those from above."""
    error = DatasetError("it is cut", where="datasets.yaml:7")

    assert error.with_context(where="datasets.yaml:1", hint="Get it again.") is error
    assert str(error) == "it is cut\n  declared at datasets.yaml:7\n  Get it again."
