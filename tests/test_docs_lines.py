"""Every command and every line of Python in the documents runs, or is checked by what can be had.

What cannot be run is named in this file with its reason, and nothing else escapes.
"""

from __future__ import annotations

import builtins
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers.desk import Hosts, index_of_packages, pip_variables, programs, put_real_files, variables
from tests.helpers.fresh_process import python
from tests.helpers.pages import (
    PROSE,
    PYTHON,
    SHELL,
    WINDOWS,
    Block,
    as_bash,
    blocks,
    commands_in_prose,
    missing_library,
)
from tests.helpers.readers_files import put_files
from tinytorch_datasets import errors, list_datasets, settings
from tinytorch_datasets.cli import main

PATHS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
PAGES = {path.relative_to(ROOT).as_posix(): blocks(path, ROOT) for path in PATHS}
ALL = [block for page in PAGES.values() for block in page]

# Single blocks, by page and first line: what a reader does not type on a computer, or a test of its own types.
NOT_RUN = {
    (
        "docs/how-to/windows.md",
        'New-ItemProperty -Path "HKLM:\\SYSTEM\\CurrentControlSet\\Control\\FileSystem" -Name LongPathsEnabled '
        "-Value 1 -PropertyType DWORD -Force",
    ): "it changes the registry of a Windows for all of its programs",
    (
        "README.md",
        "python3 -m venv .venv && .venv/bin/pip install -q -e . "
        "&& .venv/bin/tinytorch-datasets get tinydigits tinytalks",
    ): "`.ci/run` reads this line out of README and runs it",
    (
        "README.md",
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/pytest -n auto",
    ): "`.ci/run` reads this line out of README and runs it",
    (
        "README.md",
        "python milestones/03_1986_mlp/01_rumelhart_tinydigits.py            # an MLP; a second or two",
    ): "tests/milestones runs each script of milestones/, where PyTorch is",
}
# Blocks that need the real MNIST or another host, by page and a part of them, on pages whose other Python is fast.
NEEDS_HOSTS = {"docs/guide.md": "/scratch/me", "README.md": "cifar10"}
# Pages whose Python reads what commands of the page wrote.
IN_ORDER = {
    *("docs/tutorial.md", "docs/how-to/notebook.md", "docs/how-to/my-csv.md", "docs/how-to/my-pictures.md"),
    *("docs/how-to/my-texts.md", "docs/how-to/cloud.md", "docs/classroom.md", "docs/how-to/firewall.md"),
}
# The page that needs no download: no host has the files, so that what it shows is what makes them up.
MADE_UP = "docs/how-to/stand-in.md"
# What takes a second or so to import.
HEAVY = re.compile(r"import (?:torch|jax|keras|tensorflow|polars|duckdb|pyarrow)|from (?:torch|sklearn|tqdm)")

LANGUAGES = {*PYTHON, *SHELL, *WINDOWS, "yaml", "toml"}
OTHER_LANGUAGES = {"text", "json", "bibtex", "csv", "html", "mermaid", "output"}  # nothing in them could be run


def calls(text: str) -> Iterator[list[str]]:
    """Return the arguments of each call of the command line in a text of commands."""
    text = re.sub(r"\s[\\`^]\n\s*", " ", text)  # a command that goes on in the next line
    for line in text.splitlines():
        for call in re.findall(r"(?<![\w./'\[-])(?:tinytorch-datasets|ttds)(?: ([^|<>&;)]*))?(?=[|<>&;)]|$| )", line):
            yield shlex.split(call, comments=True)


def parse(arguments: list[str]) -> None:
    """Parse a call as the command line does, and run nothing. Raises click.UsageError if it is none."""
    if not arguments or arguments[0] in ("--help", "-h", "--version"):
        return
    context = click.Context(main, info_name="ttds")
    command = main.get_command(context, arguments[0])
    if command is None:
        msg = f"no command {arguments[0]!r}"
        raise click.UsageError(msg)
    if {"-h", "--help"} & set(arguments):
        return
    try:
        command.make_context(arguments[0], arguments[1:], parent=context)
    except click.BadParameter as error:
        if "does not exist" not in str(error):  # the files of a reader
            raise


def is_a_name(block: Block) -> bool:
    """Whether a command in a sentence only names what it is about: `mirror` without its folder."""
    try:
        parse(shlex.split(block.text)[1:])
    except click.MissingParameter:
        return True
    return False


def why_not_run(block: Block) -> str | None:
    """Why a block of Python or of a shell is not run here."""
    if block.is_generated and not block.is_session:
        return "cog ran it when it wrote it, or wrote it of a signature"
    return NOT_RUN.get((block.page, block.first))


def _examples_of_help(page: str) -> list[Block]:
    """The examples in what `--help` prints: the lines for bash that begin four blanks further in."""
    if page != "docs/cli.md":
        return []
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^    ((?:ls \$\()?tinytorch-datasets .*)\n", text, re.MULTILINE)
    return [Block(page, text.count("\n", 0, one.start()) + 1, "sh", "", f"{one[1]}\n", False) for one in found]


def _in_order(page: str) -> list[Block]:
    """What a reader of a page types: blocks and examples of help, and then what is in sentences and tables."""
    typed = [block for block in commands_in_prose(ROOT / page, ROOT) if not is_a_name(block)] if page in TYPED else []
    return [*sorted([*PAGES[page], *_examples_of_help(page)], key=lambda block: block.line), *typed]


# Pages whose sentences and tables have whole commands that a reader types there.
TYPED = {"docs/add.md", "docs/audit.md", "docs/export.md", "docs/how-to/firewall.md", "docs/how-to/science.md"}
TYPED |= {"docs/how-to/windows.md", "docs/tutorial.md", "docs/how-to/my-pictures.md"}
RUNNABLE = {
    page: [
        block
        for block in _in_order(page)
        if (block.language in (*PYTHON, *SHELL, *WINDOWS, PROSE) or block.title) and why_not_run(block) is None
    ]
    for page in PAGES
}


def _is_fast(page: str, block: Block) -> bool:
    return block.language in PYTHON and not block.title and NEEDS_HOSTS.get(page, "\0") not in block.text


FAST = {
    page: [block for block in found if _is_fast(page, block)]
    for page, found in RUNNABLE.items()
    if page not in (*IN_ORDER, "README.md")  # pytest itself runs README's
    and any(_is_fast(page, block) for block in found)
    and not any(HEAVY.search(block.text) for block in found)
}
SLOW = [
    page
    for page, found in RUNNABLE.items()
    if page in IN_ORDER or any(not _is_fast(page, block) or HEAVY.search(block.text) for block in found)
]


FRAMEWORKS = re.compile(r"(?m)(?:import|from) (?:torch|jax|keras|tensorflow)\b")


def _marked(value: str, code: str) -> Any:
    """Return a parameter, with a mark where its code needs what is large."""
    return pytest.param(value, marks=[pytest.mark.frameworks] if FRAMEWORKS.search(code) else [])


@pytest.fixture
def desk(tmp_path: Path) -> dict[str, Any]:
    """A folder of a reader, with the programs in its PATH and the variables that such a reader has."""
    user = tmp_path / "user"
    for folder in (user / "work", tmp_path / "usb"):
        folder.mkdir(parents=True)
    environment = variables(user, programs(tmp_path / "bin"))
    environment |= {"PAGE_STATE": str(tmp_path / "state"), settings.OFFLINE: "1"}
    places = {
        "/media/usb": tmp_path / "usb",
        "/home/you": user,
        "/content": user / "work",
        "/scratch/me": user / "scratch",
        "/srv/": f"{tmp_path}/srv/",
        "C:\\Users\\you\\": f"{user}/",
        r"D:\datasets": user / "D",
        "D:/datasets": user / "D",
        r"E:\class": tmp_path / "usb" / "class",
    }
    return {
        "env": environment,
        "cwd": user / "work",
        "places": {place: str(real) for place, real in places.items()},
        "shown": {},
        "fresh": [],
    }


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Every host that there is, on this computer."""
    with Hosts(tmp_path / "hosts") as hosts:
        yield hosts


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This package as a wheel, built by what is installed."""
    pytest.importorskip("hatchling", reason="needs hatchling, of the extra 'test', to build this package offline")
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", *options], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def run(page: str, chosen: list[Block], desk: dict[str, Any]) -> None:
    """Run blocks of a page in a process of their own; skip the test at its end if a library was missing."""
    given = [tuple(block) for block in chosen], {name: desk[name] for name in ("places", "shown", "fresh")}
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.helpers.pages import main; main(*{given!r})"
    done = python("-c", code, env=desk["env"], cwd=desk["cwd"])

    assert done.returncode == 0, done.stderr or done.stdout
    if absent := [line for line in done.stdout.splitlines() if re.match(r"line \d+ needs ", line)]:
        pytest.skip(f"{page}: {'; '.join(absent)}; the other lines were run")


_BY_BASH = pytest.mark.skipif(sys.platform == "win32", reason="pages are typed into bash")


@_BY_BASH
@pytest.mark.parametrize("page", FAST)
def test_python_of_a_page_runs(page: str, desk: dict[str, Any]) -> None:
    """In order, with what it prints compared, and without a socket."""
    run(page, FAST[page], desk)


@_BY_BASH
@pytest.mark.slow
@pytest.mark.parametrize("page", [_marked(page, "\n".join(block.text for block in RUNNABLE[page])) for page in SLOW])
def test_a_page_runs_from_its_first_line_to_its_last(
    page: str, desk: dict[str, Any], hosts: Hosts, wheel: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Commands and Python as a reader would type them, with the real MNIST where the page gets it.

    Every address leads to this computer, by a proxy that has the certificates of all hosts. pip finds what it would
    install in an index that has this package, and downloads it; only the last step is left out.
    """
    (tmp_path / "index").mkdir()
    desk["env"] |= pip_variables(index_of_packages(tmp_path / "index", wheel))
    desk["env"] |= {
        **{"HTTP_PROXY": hosts.url, "HTTPS_PROXY": hosts.url, "NO_PROXY": "127.0.0.1,localhost"},
        "REQUESTS_CA_BUNDLE": str(hosts.certificates),
    }
    del desk["env"][settings.OFFLINE]
    desk["places"] |= {
        "git+https://github.com/OWNER/tinytorch-datasets": str(wheel),
        "http://proxy.school.example:3128": hosts.url,
    }
    needs = [block.text for block in RUNNABLE[page]]
    if page != MADE_UP and any(re.search(r"mnist|cifar10|--remote", text) for text in needs):
        names = list_datasets() if any("--remote" in text for text in needs) else ["mnist", "cifar10"]
        put_real_files(hosts, request.getfixturevalue("realdata"), names)
    put_files(page, desk, hosts, request)
    run(page, RUNNABLE[page], desk)
    if page == "docs/classroom.md":  # everything came from the instructor
        assert {name for name in hosts.asked if "mnist" in name} == set()


# Code in the prose and in tables that is a whole expression of the names below; not these, which need more than that.
IN_PROSE = re.compile(r"(?<!`)`((?:train|digits)(?!\.py)(?:\.|\[)[^`\n]+|(?:dict|len)\(train\)|get\(\"[^`\n]+)`")
NEEDS_MORE = re.compile(
    r"get\(\"(?:pets|its-name|CIFAR|big)|(?:mirror|home|offline|progress)=|^train\.text$|train-|\.\.\."
)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if "/how-to/" in page or page.endswith("tutorial.md")])
def test_python_in_the_prose_runs(page: str, desk: dict[str, Any]) -> None:
    """By stand-in data, where it needs a download: so each name and each argument is one that there is."""
    text = re.sub(r"(?ms)^ *```.*?^ *```", "", (ROOT / page).read_text(encoding="utf-8"))
    code = """
import json, sys, warnings
warnings.simplefilter("ignore")
from tinytorch_datasets import get as really_get
kept = {}
def get(name, **how):
    if (name, *how) not in kept:
        kept[name, *how] = really_get(name, **how, **({} if name.startswith("tiny") else {"standin": True}))
    return kept[name, *how]
digits = get("tinydigits")
f = train = get("mnist").train if "coming-from" in sys.argv[1] else digits.train
f, rank, world = type, 0, 4
for line in json.loads(sys.argv[2]):
    try:
        eval(line)
    except Exception as error:
        print(f"{line}: {error!r}")
"""
    lines = [line for line in dict.fromkeys(IN_PROSE.findall(text)) if not NEEDS_MORE.search(line)]
    done = python("-c", code, page, json.dumps(lines), env=desk["env"], cwd=desk["cwd"])

    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_of_this_command_line(page: str) -> None:
    """In every block and in the prose, for every shell: no command and no option that there is not."""
    text = (ROOT / page).read_text(encoding="utf-8")
    shells = [block.text for block in PAGES[page] if block.language in (*SHELL, *WINDOWS)]
    prose = re.findall(r"(?<!`)`((?:tinytorch-datasets|ttds) [^`]*)`", text)
    for source in [*shells, *prose]:
        for arguments in calls(source):
            try:
                parse(arguments)
            except click.UsageError as error:
                if source not in prose or not isinstance(error, click.MissingParameter):  # `mirror` is a name there
                    pytest.fail(f"{page}: {' '.join(arguments)}: {error}")


VARIABLES = {
    *(settings.HOME, settings.MANIFEST, settings.MIRROR, settings.OFFLINE, settings.STANDIN),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "NO_COLOR", "KERAS_HOME", "SCIKIT_LEARN_DATA"),
}
# Data sets of a reader, and one that is misspelled on purpose.
OF_A_READER = {"flowers", "pets", "notes", "story", "pairs", "recordings", "digits", "big", "its-name", "mnits"}
_GETS = re.compile(
    r"get\(\"([a-z][\w-]*)\"|(?:ttds|tinytorch-datasets) (?:get|show|path|info|audit|export) ([a-z][\w-]*)"
)


@pytest.mark.parametrize("page", PAGES)
def test_names_on_a_page_are_names_that_there_are(page: str) -> None:
    """Of data sets that are got, of errors and of variables, in blocks, which may not be run, and in the prose."""
    text = (ROOT / page).read_text(encoding="utf-8")
    got = {name for names in _GETS.findall(text) for name in names if name}
    failures = set(re.findall(r"\b[A-Z]\w*(?:Error|Warning)\b", text)) - {"ConvergenceWarning"}

    assert got - OF_A_READER <= set(list_datasets())
    assert {name for name in failures if not hasattr(errors, name) and not hasattr(builtins, name)} == set()
    assert set(re.findall(r"TINYTORCH_DATASETS\w*", text)) <= VARIABLES


# What a line for Windows' shells begins with, and the words of the one that only a Windows has.
PROGRAMS = {"ttds", "tinytorch-datasets", "py", "pip", "."}
REGISTRY = ["New-ItemProperty", "-Path", "-Name", "-Value", "-PropertyType", "-Force"]


@pytest.mark.parametrize(
    "block", [one for one in ALL if one.language in WINDOWS], ids=lambda one: f"{one.page}:{one.line}"
)
def test_lines_for_windows_are_of_its_shells(block: Block) -> None:
    """By the grammar of each shell they are programs that there are, and variables that are read."""
    pytest.importorskip("tree_sitter_powershell", reason="needs the grammars of shells, of the extra 'test'")
    pytest.importorskip("tree_sitter_batch")
    for line in as_bash(block.language, block.text):
        word, *words = shlex.split(line)
        if word == "export":
            assert words[0].partition("=")[0] in VARIABLES, line
        elif word == REGISTRY[0]:
            assert [one for one in [word, *words] if one in REGISTRY] == REGISTRY, line
        else:
            assert word in PROGRAMS, line


# What other programs say, and code that makes them say it.
_PRODUCT = "import torch; torch.nn.Linear(64, 10)(torch.zeros((5, 64), dtype=torch.{}))"
_FIT = "from sklearn.linear_model import LogisticRegression; LogisticRegression(max_iter=2).fit({}, [0, 1, 0])"
MADE = {
    "ModuleNotFoundError: No module named 'tinytorch_datasets'": "import sys\n"
    "sys.path.clear(); del sys.meta_path[3:]; import tinytorch_datasets",
    "An attempt has been made to start a new process": "import multiprocessing\n"
    "multiprocessing.get_context('spawn').Process(target=print).start()",
    "assignment destination is read-only": "import numpy; numpy.frombuffer(b'0', 'u1')[0] = 0",
    "Found array with dim 3": _FIT.format("[[[1]], [[2]], [[3]]]"),
    "ConvergenceWarning": _FIT.format("[[1, 5], [2, 9], [3, 1]]"),
    "Input X contains NaN": _FIT.format("[[float('nan')], [2], [3]]"),
    "Explicitly requested dtype int64 ... is not available": "import jax.numpy; jax.numpy.asarray([1], dtype='int64')",
    "expected min_ndim=4, found ndim=3": "import keras\n"
    "keras.Sequential([keras.layers.Conv2D(8, 3)])(keras.ops.zeros((9, 8, 8)))",
    "must have the same": "import keras\n"
    "keras.losses.categorical_crossentropy(keras.ops.zeros(9), keras.ops.zeros((9, 9)))",
    "UserWarning: The given NumPy array is not writable": "import numpy, torch\n"
    "torch.from_numpy(numpy.frombuffer(b'0', 'u1'))",
    "mat1 and mat2 must have the same dtype, but got Byte and Float": _PRODUCT.format("uint8"),
    "mat1 and mat2 must have the same dtype, but got Double and Float": _PRODUCT.format("float64"),
    "expected input[...] to have 1 channels, but got 128 channels instead": "import torch\n"
    "torch.nn.Conv2d(1, 8, 3)(torch.zeros(128, 8, 8))",
}
# What these say was not seen here: it is quoted.
QUOTED = {
    "OSError: [Errno 107]": "Linux' ENOTCONN, as reports about Google Drive in Colab have it",
    "running scripts is disabled on this system": "PowerShell, as about_Execution_Policies and many guides have it",
    "403 Forbidden": "RFC 9110's words for a status; tests/fetch has the form, with 404",
}
_BESIDE_MESSAGES = re.compile(r"[\w.]+\(.*\)|[\w.]{1,14}|categorical_crossentropy|pip install .*")


@pytest.mark.parametrize("page", [page for page in PAGES if "/how-to/" in page])
def test_messages_that_a_page_quotes_are_of_the_package(page: str) -> None:
    """Under "What goes wrong", what stands in code in the first column; `...` is for what differs."""
    paths = list((ROOT / "tinytorch_datasets").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", "".join(path.read_text(encoding="utf-8") for path in paths))
    section = (ROOT / page).read_text(encoding="utf-8").partition("## What goes wrong\n")[2].partition("\n## ")[0]
    quoted = [
        one
        for row in re.findall(r"^\| (.*?) \|", section, re.MULTILINE)
        for one in re.findall(r"`+(.+?)`+(?![a-z])", row)
    ]
    for message in quoted:
        for part in filter(None, map(str.strip, message.split("..."))):
            others = any(part in other or other in part for other in (*MADE, *QUOTED))
            known = part in source or others or _BESIDE_MESSAGES.fullmatch(part)
            assert known, part


@pytest.mark.slow
@pytest.mark.parametrize("message", [_marked(message, code) for message, code in MADE.items()])
def test_other_programs_say_what_a_page_quotes_of_them(message: str, tmp_path: Path) -> None:
    """In the version that is installed, whose library needs not be."""
    if library := missing_library(MADE[message]):
        pytest.skip(f"{library} is not installed")
    script = tmp_path / "script.py"
    script.write_text(MADE[message], encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert re.search(".*".join(map(re.escape, message.split("..."))), done.stderr), done.stderr


# By the name of a module, what is installed for it, where that has another name.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "pyarrow": "tinytorch-datasets[tables]"}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_how_to_install_what_it_imports(page: str) -> None:
    """By a line of pip somewhere on it; this package itself brings NumPy, and Colab has what is its own."""
    text = (ROOT / page).read_text(encoding="utf-8")
    installed = set(re.findall(r"[\w\[\]-]+", " ".join(re.findall(r"pip install ([^`\n]*)", text))))
    code = "\n".join(block.text for block in PAGES[page] if block.language in PYTHON)
    modules = set(re.findall(r"^(?:>>> |\.\.\. )? *(?:import|from) (\w+)", code, re.MULTILINE))
    others = modules - sys.stdlib_module_names - {"tinytorch_datasets", "numpy", "google"}

    assert {DISTRIBUTIONS.get(name, name) for name in others} <= installed


def test_the_ten_minutes_of_the_tutorial_are_enough() -> None:
    """For reading it at a hundred and twenty words a minute; its own commands take seconds."""
    assert len((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8").split()) / 120 <= 10


@pytest.mark.parametrize("page", PAGES)
def test_a_session_is_one_that_python_takes_line_by_line(page: str) -> None:
    """An empty line ends what is indented, as whoever types it must, and as the button copies it."""
    sessions = "\n".join(block.text for block in PAGES[page] if block.is_session)

    assert not re.findall(r"^\.\.\. +\S.*\n>>> .*", sessions, re.MULTILINE)


EXTRAS = re.search(r"(?s)optional-dependencies\]\n(.*?)\n\[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_what_is_installed_can_be(page: str) -> None:
    """Every extra that a page names is one of this package."""
    assert EXTRAS
    known = set(re.findall(r"^(\w+) = \[", EXTRAS[1], re.MULTILINE))
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"(?:tinytorch-datasets|'\.|\"\.)\[([\w,]+)\]", text)

    assert {extra for names in named for extra in names.split(",")} <= known


def what_yaml_is(text: str) -> str:
    """Name what a block of YAML is part of, by its first key."""
    value = yaml.safe_load(text)
    if value is None:
        return "comments"
    if isinstance(value, list):
        return "steps" if {"uses", "run"} & value[0].keys() else "hooks"
    for key in ("repos", "jobs", "version"):
        if key in value:
            return key
    first = next(iter(value.values()))
    if isinstance(first, dict) and "script" in first:
        return "gitlab"
    return "entry" if "\n  files:" in text else "keys"


# What pages give to GitHub's own actions, as the README of each has it.
INPUTS = {"actions/setup-python": {"python-version"}, "actions/cache": {"path", "key", "restore-keys"}}


@pytest.mark.parametrize(
    "block", [one for one in ALL if one.language == "yaml"], ids=lambda one: f"{one.page}:{one.line}"
)
def test_yaml_is_what_it_is_part_of(block: Block, tmp_path: Path) -> None:
    """Of a workflow, by GitHub's schema; of hooks, by pre-commit; of a manifest, by keys that it has."""
    value, kind = yaml.safe_load(block.text), what_yaml_is(block.text)
    if kind in ("steps", "jobs"):
        schemas = pytest.importorskip(
            "check_jsonschema.builtin_schemas", reason="needs check-jsonschema, of the extra 'dev'"
        )
        jsonschema = pytest.importorskip("jsonschema")
        jobs = {"on": "push", "jobs": {"one": {"runs-on": "ubuntu-latest", "steps": value}}}
        workflow: Any = (
            jobs if kind == "steps" else {("on" if key is True else key): part for key, part in value.items()}
        )
        jsonschema.validate(workflow, schemas.get_builtin_schema("vendor.github-workflows"))
        inputs = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]
        for step in [step for job in workflow["jobs"].values() for step in job["steps"]]:
            action = step.get("uses", "").partition("@")[0]
            ours = action.endswith("/tinytorch-datasets")
            assert step.get("with", {}).keys() <= (inputs.keys() if ours else INPUTS.get(action, set()))
            for arguments in calls(step.get("run", "")):
                parse(arguments)
    elif kind == "gitlab":
        schemas = pytest.importorskip(
            "check_jsonschema.builtin_schemas", reason="needs check-jsonschema, of the extra 'dev'"
        )
        schema = schemas.get_builtin_schema("vendor.gitlab-ci")
        assert pytest.importorskip("jsonschema").Draft7Validator(schema).is_valid(value)
    elif kind in ("repos", "hooks"):
        whole = value if kind == "repos" else [{"repo": "https://example.org/x", "rev": "v1", "hooks": value}]
        if kind == "hooks" and "repo" in value[0]:
            whole = value
        whole = whole if isinstance(whole, dict) else {"repos": whole}
        client = pytest.importorskip("pre_commit.clientlib")
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(whole))
        client.load_config(tmp_path / "config.yaml")
        ours = {hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))}
        assert {hook["id"] for repo in whole["repos"] for hook in repo["hooks"]} <= ours
    elif kind == "keys":
        validator = pytest.importorskip("jsonschema").Draft202012Validator
        schema = json.loads((ROOT / "datasets.schema.json").read_text(encoding="utf-8"))
        whole, parts = (
            schema["properties"] | schema["$defs"]["Entry"]["properties"],
            ("Field", "Split", "File", "Place", "ListedRows"),
        )
        anything = {"anyOf": [{"$ref": f"#/$defs/{part}Entry"} for part in parts]}
        for line in re.split(r"\n(?=\w)", block.text):  # a block may have the same key in several forms
            for key, part in yaml.safe_load(line).items():
                assert validator({"$defs": schema["$defs"], **whole.get(key, anything)}).is_valid(part), line
    else:  # test_docs.py loads these as manifests
        assert kind in ("entry", "version", "comments")


@pytest.mark.parametrize(
    "block", [one for one in ALL if one.language == "toml"], ids=lambda one: f"{one.page}:{one.line}"
)
def test_toml_can_be_read(block: Block) -> None:
    """By Python's own reader."""
    pytest.importorskip("tomllib", reason="Python reads TOML from 3.11 on").loads(block.text)


def test_no_block_escapes() -> None:
    """Each fence that names a language is run, parsed or checked; what is not run has its reason in this file."""
    fences = Counter[str]()
    for page in PAGES:
        lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
        # Every second fence closes a block.
        fences.update(
            line.strip()[3:].split()[0] if line.strip()[3:] else ""
            for line in [x for x in lines if re.match(" *```", x)][::2]
        )
    fences.pop("", None)
    run_or_why = Counter(why_not_run(block) or "run" for block in ALL if block.language in (*PYTHON, *SHELL))
    sys.stdout.write(f"{json.dumps(run_or_why, indent=1)}\n")  # pytest -s shows it

    assert fences == Counter(block.language for block in ALL)
    assert fences.keys() <= LANGUAGES | OTHER_LANGUAGES
    assert not [block.page for block in ALL if "+SKIP" in block.text]
    assert {key for key in NOT_RUN if key not in {(block.page, block.first) for block in ALL}} == set()
    assert {page for page in (*IN_ORDER, *TYPED, *NEEDS_HOSTS) if page not in PAGES} == set()
