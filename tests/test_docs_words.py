"""Every word of code in the sentences of a page is one that there is: in the package, its data, or a named library."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import inspect
import keyword
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

import tinytorch_datasets
from tests.conftest import ROOT
from tests.helpers.desk import DISTRIBUTIONS
from tests.helpers.pages import blocks, prose
from tinytorch_datasets import errors
from tinytorch_datasets.auditing.findings import ExitCode
from tinytorch_datasets.cli import main
from tinytorch_datasets.dataset import Dataset
from tinytorch_datasets.pipeline.streamed import StreamedSplit
from tinytorch_datasets.split import Split

PATHS = {
    path.relative_to(ROOT).as_posix(): path
    for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
    if path.name != "errors.md"  # docs/error_messages.py writes it of the code
}
WORD = re.compile(r"[A-Za-z_][\w-]*")

# Words that are not of this project, by where they are from.
FOREIGN = {
    "examples": """Balinese character01 faces-1 faces-2 part-00000-of-00002 train-00000-of-00002 train-0 train-1 test-0
        test-1 train_001 train_idx shard7 batch_1 x-0 x-1 y-0 y-1 cat_001 dog_001 _anna_0 part-10 part-2 part-9 e3""",
    "scikit-learn": """ConvergenceWarning SimpleImputer impute random_state stratify test_size train_test_split
        as_frame feature_names target_names fetch_openml load_iris mnist_784 return_X_y Found dim""",
    "PyTorch and torchvision": "Double mat1 mat2 num_workers Normalize ToTensor Subset random_split attempt",
    "Keras": "KERAS_BACKEND categorical_crossentropy to_categorical validation_split min_ndim",
    "JAX": "Explicitly requested available optax softmax_cross_entropy",
    "TFDS and Hugging Face": "as_supervised tfds DatasetDict with_format ylecun",
    "tables": "DataFrame from_arrow destination",
    "clusters": """DataPipeline MPIPoolExecutor __key__ attrgetter batched collation_fn delayed from_array from_delayed
        mpi4py mpiexec webdataset""",
    "stores": "AWS_ENDPOINT_URL AZURE_STORAGE_ACCOUNT_KEY FSSPEC_S3_ x-goog-hash GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT",
    "Windows": """CurrentUser Env LOCALAPPDATA PYTHONUTF8 RemoteSigned Remove-Item Scope Set-ExecutionPolicy setx
        disabled""",
    "the system": "Errno HTTPS_PROXY HTTP_PROXY NO_PROXY bashrc crt Forbidden filesize loadmat loadtxt MEMBER",
    "JSON Schema and the vectors": """exclusiveMaximum maxItems minLength minProperties oneOf ambiguous clash
        in_the_way ss unsafe_part unsafe_path""",
}
OTHERS = {word for words in FOREIGN.values() for word in words.split()}


@cache
def spans(text: str) -> list[str]:
    """Return what stands in code in the sentences and tables of a page."""
    return [span for _, span in re.findall(r"(?<!`)(`+)([^\n]+?)\1(?!`)", prose(text))]


@cache
def code() -> str:
    """Return the text of the package."""
    return "".join(text_of(path) for path in ROOT.glob("tinytorch_datasets/**/*.py"))


@cache
def text_of(path: Path) -> str:
    """Return the text of a page."""
    return path.read_text("utf-8")


@cache
def vocabulary() -> frozenset[str]:
    """Every word of the package, of its data and its settings, and the names of Python and of the files here."""
    sources = [*ROOT.glob("milestones/*.py"), *ROOT.glob("*.yaml")]
    sources += [ROOT / "pyproject.toml", ROOT / "action.yml", ROOT / ".pre-commit-hooks.yaml"]
    sources += [ROOT / "conformance" / "manifests.json"]
    words = {word for text in (code(), *map(text_of, sources)) for word in WORD.findall(text)}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    names = listed.splitlines() or [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")]
    words |= {word for name in names for word in WORD.findall(name)}
    return frozenset(words | {*dir(builtins), *keyword.kwlist, *sys.stdlib_module_names})


@pytest.mark.parametrize("page", PATHS)
def test_words_in_code_are_words_that_there_are(page: str) -> None:
    """In the package, or in the lines of the page, which are run; those of other programs are listed here."""
    path = PATHS[page]
    known = vocabulary() | OTHERS | {word for block in blocks(path, ROOT) for word in WORD.findall(block.text)}
    words = {word for span in spans(text_of(path)) for word in WORD.findall(span)}

    assert {word for word in words if not {word, word.strip("-")} & known} == set()


def test_the_list_of_other_words_is_of_words_in_use() -> None:
    """What no page has any more, or what the project has now, has left it."""
    used = {word for path in PATHS.values() for span in spans(text_of(path)) for word in WORD.findall(span)}

    assert OTHERS - used == set()


def test_the_lists_of_other_names_are_of_names_in_use() -> None:
    """As they are written on a page, and not in a list above only."""
    text = "\n".join(span for path in PATHS.values() for span in spans(text_of(path)))

    assert {name for name in OTHER_CALLS if not re.search(rf"\b{name}\(", text)} == set()
    assert {name for name in OTHER_DOTTED if name not in text} == set()


def options() -> dict[str, set[str]]:
    """The options of each command."""
    context = click.Context(main, info_name="ttds")
    commands = {name: main.get_command(context, name) for name in main.commands}
    return {
        name: {"-h", "--help", *(option for its in command.params for option in (*its.opts, *its.secondary_opts))}
        for name, command in commands.items()
        if command is not None
    }


OPTIONS = options()


def values_of(command: str, option: str) -> set[str]:
    """Return the values that an option takes, if it takes few: they are its type, or its help ends with them."""
    for its in main.commands[command].params:
        if option in its.opts and isinstance(its, click.Option):
            choices = {str(choice) for choice in getattr(its.type, "choices", ())}
            listed = re.search(r": ((?:[a-z]+, )+[a-z]+)$", its.help or "")
            return choices or set(listed[1].split(", ") if listed else ())
    return set()


def sections(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each line of a page's sentences, and the section with its blocks that the line is in."""
    for section in re.split(r"(?m)^(?=## )", re.sub(r"(?s)<!-- \[\[\[cog.*?\]\]\] ?-->", "", text_of(path))):
        for line in prose(section).splitlines():
            yield line, section


def commands_in(text: str, before: str = "(?:`|(?:tinytorch-datasets|ttds) )") -> set[str]:
    """Return the commands that a text names in code, or calls."""
    return {name for name in re.findall(rf"{before}([a-z]+)\b", text) if name in OPTIONS}


@pytest.mark.parametrize("page", PATHS)
def test_an_option_in_a_sentence_is_one_of_the_command_that_it_is_about(page: str) -> None:
    """Of one in the same line, of the page's own, or of one that the section calls; else of one on the page."""
    path = PATHS[page]
    on_page = commands_in(text_of(path))
    for line, section in sections(path):
        for span in spans(line):
            if not re.match(r"(?:(?:tinytorch-datasets|ttds) )?(?:[a-z]+ .*)?-", span):
                continue
            first = re.sub(r"^(?:tinytorch-datasets|ttds) ", "", span).split(" ")[0]
            about = {path.stem} & OPTIONS.keys() or on_page
            about = about | commands_in(line) | commands_in(section, "(?:tinytorch-datasets|ttds) ")
            if first in OPTIONS:
                about = {first}
            elif not re.match("--?[a-z]", first) or "pip " in line:
                continue  # of another program
            for option in re.findall(r"(?:^|[ \[])(--?[a-z][a-z-]*)", span):
                known = option == "--version" or any(option in OPTIONS[name] for name in about)
                assert known, f"{line}: {option} of {sorted(about)}"
            for option, value in re.findall(r"(?:^|[ \[])(--[a-z][a-z-]*) ([a-z][\w-]*)", span):
                accepted = set().union(*(values_of(name, option) for name in about))
                assert not accepted or value in accepted, f"{line}: {option} takes {sorted(accepted)}"


def names_of_arguments() -> set[str]:
    """Return the names of the arguments of all that is public."""
    public = [getattr(tinytorch_datasets, name) for name in tinytorch_datasets.__all__ if name != "__version__"]
    public += [Dataset, Split, StreamedSplit]
    methods = [one for each in public if inspect.isclass(each) for _, one in inspect.getmembers(each, callable)]
    functions = [each for each in (*public, *methods) if inspect.isroutine(each) or inspect.isclass(each)]
    names: set[str] = set()
    for function in functions:
        try:
            names |= set(inspect.signature(function).parameters)
        except ValueError:  # some of Python's own have none
            continue
    return names


ARGUMENTS = names_of_arguments()
# Of functions of other libraries, and keys of other files, as a page calls them.
OTHER_ARGUMENTS = {
    *("batch_size", "num_workers", "cmap", "keep_default_na", "lines", "max_iter", "allow_pickle", "transform"),
    *("validation_split", "as_supervised"),
}


@pytest.mark.parametrize("page", [page for page in PATHS if page not in ("docs/design.md", "docs/api.md")])
def test_an_argument_in_a_sentence_is_one_of_a_function(page: str) -> None:
    """Alone, as `seed=0` is, or in the call of one of this package's functions."""
    for span in spans(text_of(PATHS[page])):
        call = re.fullmatch(
            r"(?:\w+\.)*(get|take|divide|filter|shard|batches|arrays|show|collate|audit|doctor)\((.*)\)", span
        )
        if call or re.match(r"[a-z_]+=[^=]*$", span):
            for name in re.findall(r"(?:^|[(, ])([a-z_]+)=(?!=)", call[2] if call else span):
                assert name in ARGUMENTS | OTHER_ARGUMENTS, span


# What an argument takes beside names of fields, splits and files.
VALUES = {
    "channels": {"first", "last"},
    "decode": {"always"},
    "dtype": {"float16", "float32", "float64"},
    "even": {"drop", "pad"},
    "normalize": {"standard"},
    "verify": {"always"},
}
OF_FIELDS = {"by", "each", "one_hot"}


@pytest.mark.parametrize("page", [page for page in PATHS if page != "docs/design.md"])
def test_the_text_that_an_argument_is_given_is_one_that_it_takes(page: str) -> None:
    """`each="labels"`, and not `each="label"`; where names are free, nothing is compared."""
    for span in spans(text_of(PATHS[page])):
        for name, value in re.findall(r"\b([a-z_]+)=\"([^\"]*)\"", span):
            assert value in VALUES.get(name, {value}), span
            assert name not in OF_FIELDS or value in FIELDS, span


def test_the_values_of_arguments_are_those_of_the_package() -> None:
    """The list above has none that a split refuses, and the split refuses another."""
    train = tinytorch_datasets.get("tinydigits").train
    calls: dict[str, Callable[[Any], object]] = {
        "channels": lambda value: train.arrays(channels=value),
        "dtype": lambda value: train.arrays(dtype=value),
        "even": lambda value: train.shard(0, 4, even=value),
        "normalize": lambda value: train.arrays(normalize=value),
    }
    for name, call in calls.items():
        for value in VALUES[name]:
            call(value)
        with pytest.raises((ValueError, TypeError)):
            call("latest")


@cache
def keys() -> frozenset[str]:
    """Return the keys of manifests, of the action's inputs, and of the YAML on pages."""
    texts = [text_of(ROOT / "action.yml"), *(b.text for path in PATHS.values() for b in blocks(path, ROOT))]
    found = {name for text in texts for name in re.findall(r"(?m)(?:^[ -]*|[{,] ?)([a-z][\w-]*):(?= |$)", text)}
    return frozenset(found | set(re.findall(r'"(\w+)": ', text_of(ROOT / "datasets.schema.json"))))


@pytest.mark.parametrize("page", PATHS)
def test_a_key_in_a_sentence_is_one_of_a_manifest_or_of_the_action(page: str) -> None:
    """`network-fails: "true"`, as it is written in YAML."""
    for span in spans(text_of(PATHS[page])):
        match = re.match(r"\{?([a-z][\w-]*): \S", span)
        assert match is None or match[1] in keys(), span


EXTRAS = re.findall(
    r"(?m)^(\w+) = \[",
    (ROOT / "pyproject.toml").read_text("utf-8").partition("optional-dependencies]\n")[2].partition("\n[")[0],
)


@pytest.mark.parametrize("page", PATHS)
def test_what_is_called_an_extra_is_one(page: str) -> None:
    """By the word before it, or in a line of pip; and what else pip installs is a package that this page is about."""
    text = text_of(PATHS[page])
    named = [
        *re.findall(r"\bextra `(\w+)`", text),
        *(
            name
            for names in re.findall(r"\bextras ((?:`\w+`(?:, | and )?)+)", text)
            for name in re.findall(r"\w+", names)
        ),
        *(
            name
            for names in re.findall(r"(?:tinytorch-datasets|\.|\w\]?)\[([a-z,]+)\]'", text)
            for name in names.split(",")
        ),
    ]
    assert set(named) - {"and"} <= set(EXTRAS)
    for words in re.findall(r"pip install ([^`\n#&]*)", text):
        plain = [word for word in words.split() if re.fullmatch(r"[a-z][\w-]*", word)]
        assert set(plain) <= {*DISTRIBUTIONS, "tinytorch-datasets", "packages"}, words


@pytest.mark.parametrize("page", PATHS)
def test_a_dotted_name_leads_somewhere(page: str) -> None:
    """To a module or to what is in it, to a group of entry points that the package reads, or from a class."""
    text = text_of(PATHS[page])
    sources = code()
    for name in re.findall(r"\btinytorch_datasets(?:\.\w+)+", text):
        assert f'"{name}"' in sources or is_importable(name), name
    for group in re.findall(r'entry-points\."?([\w.]+)"?\]', text):
        assert f'"{group}"' in sources, group
    for owner, attribute in re.findall(r"`([A-Z]\w+)\.([a-z_]\w*)[`(]", text):
        kind = getattr(tinytorch_datasets, owner, getattr(errors, owner, None))
        if kind is not None:
            source = "".join(
                inspect.getsource(each)
                for each in kind.__mro__
                if each.__module__ in sys.modules and each.__module__.startswith("tinytorch")
            )
            assert hasattr(kind, attribute) or re.search(rf"\b{attribute}\b\s*[:=]", source), f"{owner}.{attribute}"


def is_importable(name: str) -> bool:
    """Whether a dotted name is a module, or what a module has."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


@pytest.mark.parametrize("page", PATHS)
def test_a_file_that_the_package_writes_has_that_name(page: str) -> None:
    """Of the kinds that only it writes: `datasets.lock`, `catalog.css`; in its code, or in the lines of the page."""
    text = text_of(PATHS[page])
    lines = "".join(block.text for block in blocks(PATHS[page], ROOT))
    for span in spans(text):
        if re.fullmatch(r"[\w-]+\.(?:lock|css|js)", span):
            assert span in code() or span in lines, span


# Names with dots that are in no code here: of a reader's own objects, and of other libraries under their short names.
OTHER_DOTTED = {
    *(
        "x.copy",
        "stored.reshape",
        "course.yaml",
        "plan.py",
        "plan.Declared",
        "checks.duplicates.of",
        "FetchError.tried",
    ),
    *("cifar10.load_data", "mnist.load_data", "info.features", "tfds.load", "datasets.Dataset", "progress.readable"),
    *("data.classes", "data.feature_names", "data.target_names", "data.with_format"),
}
LIBRARIES = {
    *("dask", "keras", "matplotlib", "mpi4py", "numpy", "optax", "pandas", "pooch", "ray", "rich", "scipy", "sklearn"),
    *("torch", "webdataset"),
}
# Of data, which readers call as they like.
DATA_FILES = re.compile(r".*\.(?:npz|npy|png|csv|parquet|tar|zip|gz|data|bib|txt|jsonl|part|part\.json)")
_DOTTED = re.compile(r"(?<![\w./$-])[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)+(?![\w.]*/)")
SPLITS = ("train", "test", "validation", "split", "part")


@cache
def dotted_names() -> frozenset[str]:
    """Return the names with dots of the package, its data and settings, of the lines on pages, and of the files."""
    sources = [*ROOT.glob("milestones/*.py"), *ROOT.glob("*.yaml"), ROOT / "pyproject.toml", ROOT / "action.yml"]
    lines = [block.text for path in PATHS.values() for block in blocks(path, ROOT)]
    names = {name for text in (code(), *map(text_of, sources), *lines) for name in _DOTTED.findall(text)}
    names = {".".join(parts[:end]) for parts in (name.split(".") for name in names) for end in range(2, len(parts) + 1)}
    return frozenset(names | {path.name for path in ROOT.rglob("*.*") if ".venv" not in path.parts})


@pytest.mark.parametrize("page", PATHS)
def test_a_name_with_dots_is_written_so_somewhere(page: str) -> None:
    """Whole, as a file, a module or an attribute is: `mirrors.lock`, and not two words that there are."""
    for span in spans(text_of(PATHS[page])):
        for name in _DOTTED.findall(span):
            first = name.split(".")[0]
            if first in SPLITS or (set(SPLITS) & set(name.split(".")[1:-1])):
                continue  # the next test knows what a split has
            known = name in dotted_names() | OTHER_DOTTED or first in LIBRARIES or DATA_FILES.fullmatch(name)
            known = known or name.endswith(".example")
            assert known or is_importable(name), f"{span}: {name}"


def fields() -> set[str]:
    """Return the names of fields that data sets have, here and on pages."""
    texts = [*map(text_of, ROOT.glob("*.yaml")), *(b.text for path in PATHS.values() for b in blocks(path, ROOT))]
    return {name for text in texts for name in re.findall(r"(?m)^ +([a-z_]\w*): *(?:\{|$)", text)}


FIELDS = fields()


@pytest.mark.parametrize("page", PATHS)
def test_what_a_split_is_asked_for_is_what_it_has(page: str) -> None:
    """What is called is a method of a split, and what is not is an attribute, or a field of some data set."""
    for span in spans(text_of(PATHS[page])):
        for name, bracket in re.findall(rf"(?<![\w./-])(?:\w+\.)?(?:{'|'.join(SPLITS)})\.([a-z_]\w*)(\(?)", span):
            if name == "py" or DATA_FILES.fullmatch(f"x.{name}"):
                continue  # a file
            has = hasattr(Split, name) or hasattr(StreamedSplit, name)
            assert has if bracket else has or name in FIELDS, span


# Functions and classes of other libraries, which sentences name and no line on a page calls.
OTHER_CALLS = {
    "f",
    *("Client", "DataPipeline", "ImageFolder", "MNIST", "MPIPoolExecutor", "Normalize", "RandomState", "Subset"),
    *("ThreadPoolExecutor", "ToTensor", "asarray", "attrgetter", "batched", "concatenate", "delayed", "fetch_openml"),
    *("field_size_limit", "from_array", "from_arrow", "from_delayed", "get_executor", "imshow", "load", "load_data"),
    *("load_dataset", "load_digits", "load_iris", "random_split", "read_csv", "read_json", "read_parquet", "records"),
    *("sample", "select", "tensor", "to_categorical", "train_test_split", "transpose", "with_format"),
}


@cache
def callables() -> frozenset[str]:
    """Return what can be called: what is public, its methods, Python's own functions, and what lines on pages call."""
    public = [getattr(tinytorch_datasets, name) for name in tinytorch_datasets.__all__]
    classes = [Dataset, Split, StreamedSplit, *filter(inspect.isclass, public)]
    methods = {name for kind in classes for name in dir(kind) if callable(getattr(kind, name, None))}
    lines = [
        block.text for path in PATHS.values() for block in blocks(path, ROOT) if block.language in ("python", "pycon")
    ]
    called = {name for text in lines for name in re.findall(r"(\w+)\(", text)}
    return frozenset({*methods, *tinytorch_datasets.__all__, *dir(builtins), *called})


@pytest.mark.parametrize("page", PATHS)
def test_what_is_called_in_a_sentence_can_be_called(page: str) -> None:
    """By its name: `shard(0, 4)`, where `shards` is an argument."""
    for span in spans(text_of(PATHS[page])):
        for name in re.findall(r"(?<![\w-])([A-Za-z_]\w*)\(", span):
            assert name in callables() | OTHER_CALLS, span


@pytest.mark.parametrize("page", PATHS)
def test_a_file_of_the_repository_is_there(page: str) -> None:
    """What begins with one of its folders, whole or as a pattern."""
    for span in spans(text_of(PATHS[page])):
        match = re.match(r"((?:tests|docs|benchmarks|fuzz|release|conformance|tinytorch_datasets)/[\w./*-]*)", span)
        if match and "*" not in match[1]:
            assert (ROOT / match[1]).exists(), span
        elif match:
            assert list(ROOT.glob(match[1])), span


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (ExitCode.OK, "everything (?:that was checked )?matches"),
        (ExitCode.MISMATCH, "something differs"),
        (ExitCode.USAGE, "the manifest or the call is wrong"),
        (ExitCode.NETWORK, "(?:only the network failed|nothing differs, but the network failed)"),
    ],
)
def test_an_exit_code_means_on_every_page_what_it_means(code: ExitCode, meaning: str) -> None:
    """In README, in the page of the audit, and in that of CI, as programs compare it."""
    named = {
        page: re.findall(rf"(\d)(?: \||:|,)?(?: if)? {meaning}", text_of(PATHS[page]))
        for page in ("README.md", "docs/audit.md", "docs/how-to/ci.md")
    }
    assert all(set(codes) == {str(code.value)} for codes in named.values()), named


@cache
def folders() -> frozenset[str]:
    """Return the names of folders: of the repository and the package, and of those in code, manifests and lines."""
    there = {path.name for top in ("tinytorch_datasets", "tests") for path in (ROOT / top).rglob("*/")}
    texts = [
        code(),
        *map(text_of, ROOT.glob("*.yaml")),
        *(b.text for path in PATHS.values() for b in blocks(path, ROOT)),
    ]
    return frozenset(
        there | {name for text in texts for name in re.findall(r"(?<![\w-])[\w-]+(?=/)|(?<=\")[\w-]+(?=\")", text)}
    )


@pytest.mark.parametrize("page", PATHS)
def test_a_folder_in_a_sentence_is_one_that_there_is(page: str) -> None:
    """Of the repository, of the package, or one that the package makes or a line of a page has: `packages/`."""
    for span in spans(text_of(PATHS[page])):
        if re.fullmatch(r"[\w-]+/", span):
            known = span[:-1] in folders() or (ROOT / span).is_dir()
            assert known, span


@pytest.mark.parametrize("page", PATHS)
def test_what_python_is_to_run_is_there(page: str) -> None:
    """A module by `-m`, a script by its path, and the word that a script takes first."""
    for span in spans(text_of(PATHS[page])):
        for module in re.findall(r"\bpy(?:thon3?)? -m ([\w.-]+)", span):
            assert importlib.util.find_spec(module.split(".")[0]) or module.split(".")[0] in OTHERS, span
        for script, word in re.findall(r"\bpython3? ([a-z]+/[\w/]+\.py)(?: ([a-z]+))?", span):
            assert (ROOT / script).is_file(), span
            assert not word or f'"{word}"' in text_of(ROOT / script), span


@cache
def schemes() -> frozenset[str]:
    """Return what an address may begin with: those in code, those of the stores, and Dask's."""
    return frozenset({*re.findall(r"\b(\w+)://", code()), *EXTRAS, "tcp"})


@pytest.mark.parametrize("page", PATHS)
def test_an_address_has_a_scheme_that_there_is(page: str) -> None:
    """One that the package opens, or of Dask's scheduler."""
    for span in spans(text_of(PATHS[page])):
        assert set(re.findall(r"(?<![\w+])([a-z]\w*)://", span)) <= schemes(), span
