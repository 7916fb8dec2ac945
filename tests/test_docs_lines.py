"""Every command and every line of Python in the documents runs, or is checked by what can be had.

What cannot be run is named in this file with its reason, and nothing else escapes.
"""

from __future__ import annotations

import builtins
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import wave
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers.fresh_process import python
from tests.helpers.pages import INSTALLS, PYTHON, SHELL, WINDOWS, Block, blocks, missing_library
from tinytorch_datasets import errors, list_datasets, settings
from tinytorch_datasets.cli import main

PAGES = {path.relative_to(ROOT).as_posix(): blocks(path, ROOT) for path in sorted(ROOT.glob("docs/**/*.md"))}
ALL = [block for page in PAGES.values() for block in page]

# Pages of reference whose commands name files and hosts that nobody has: each is only parsed by the command line.
PARSED_ONLY = {
    "docs/add.md": "the files that it names are not here; tests/add has the like of each",
    "docs/audit.md": "tests/auditing has each option",
    "docs/catalog.md": "tests/catalog writes and opens such sites",
    "docs/classroom.md": "tests/test_docs.py runs its transcripts, tests/mirror its server",
    "docs/cli.md": "tests/cli installs the completion",
    "docs/export.md": "tests/exporting writes each kind",
}
# Single blocks, by page and first line.
NOT_RUN = {
    ("docs/classroom.md", 'get("mnist", mirror="http://192.168.1.5:8000/")'): "tests/mirror has the server",
    ("docs/guide.md", 'get("mnist", home="/scratch/me/datasets")  # downloads and decoded arrays go there'): (
        "it names folders of a reader; tests/test_get.py has each argument"
    ),
    ("docs/how-to/cloud.md", "pip install 'tinytorch-datasets[s3]'"): "tests/fetch has stores",
    ("docs/how-to/cloud.md", "tinytorch-datasets mirror s3://my-bucket/datasets mnist cifar10"): (
        "tests/fetch has stores"
    ),
    ("docs/how-to/cloud.md", 'get("mnist", home="s3://my-bucket/home")'): "tests/fetch has stores",
    ("docs/how-to/firewall.md", "ttds get mnist --mirror /media/usb/class"): "tests/mirror has a server and a stick",
    ("docs/how-to/firewall.md", "export HTTPS_PROXY=http://proxy.school.example:3128"): "tests/fetch has a proxy",
    ("docs/how-to/firewall.md", "export REQUESTS_CA_BUNDLE=$HOME/school.pem"): "tests/fetch has a certificate",
    ("docs/how-to/notebook.md", "from google.colab import drive"): "it is in Colab alone",
}
# Pages that get the real MNIST; and those whose Python reads what commands of the page wrote.
WITH_MNIST = {"docs/tutorial.md", "docs/how-to/notebook.md"}
IN_ORDER = {*WITH_MNIST, "docs/how-to/my-csv.md", "docs/how-to/my-pictures.md", "docs/how-to/my-texts.md"}
# What takes a second or so to import.
HEAVY = re.compile(r"import (?:torch|jax|keras|tensorflow|polars|duckdb|pyarrow)|from (?:torch|sklearn|tqdm)")

LANGUAGES = {*PYTHON, *SHELL, *WINDOWS, "yaml", "toml"}
OTHER_LANGUAGES = {"text", "json", "bibtex", "csv", "html", "mermaid", "output"}  # nothing in them could be run


def is_installation(block: Block) -> bool:
    """Whether nothing is left of a block without the lines that install something."""
    return not INSTALLS.sub("", block.text).strip()


def why_not_run(block: Block) -> str | None:
    """Why a block of Python or of a shell is not run here."""
    if (block.page, block.first) in NOT_RUN:
        return NOT_RUN[block.page, block.first]
    if block.title and block.language not in (*PYTHON, *SHELL):
        return None
    if block.is_generated and not block.is_session:
        return "cog ran it when it wrote it, or wrote it of a signature"
    if block.language in SHELL and block.page in PARSED_ONLY:
        return PARSED_ONLY[block.page]
    return "it needs an index of packages; its extras are compared" if is_installation(block) else None


RUNNABLE = {
    page: [
        block for block in found if (block.language in (*PYTHON, *SHELL) or block.title) and why_not_run(block) is None
    ]
    for page, found in PAGES.items()
}
FAST = [
    page
    for page, found in RUNNABLE.items()
    if page not in IN_ORDER
    and any(block.language in PYTHON and not block.title for block in found)
    and not any(HEAVY.search(block.text) for block in found)
]
SLOW = [
    page
    for page, found in RUNNABLE.items()
    if page in IN_ORDER or any(block.language in SHELL or HEAVY.search(block.text) for block in found)
]


@pytest.fixture
def desk(tmp_path: Path) -> dict[str, Any]:
    """A folder of a reader, with the programs in its PATH and the variables that such a reader has."""
    programs, user = tmp_path / "bin", tmp_path / "user"
    for folder in (programs, user / "work", tmp_path / "usb"):
        folder.mkdir(parents=True)
    for name, module in {
        "tinytorch-datasets": " -m tinytorch_datasets",
        "ttds": " -m tinytorch_datasets",
        "python": "",
    }.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n')
        program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(user),
        "PAGE_STATE": str(tmp_path / "state"),
        "NO_COLOR": "1",
        settings.HOME: str(user / ".cache" / "tinytorch-datasets"),  # as of an installed package
        settings.OFFLINE: "1",
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "jax"),
    }
    places = {"/media/usb": str(tmp_path / "usb"), "/home/you": str(user), "/content": str(user / "work")}
    return {"env": environment, "cwd": user / "work", "places": places}


def run(page: str, chosen: list[Block], desk: dict[str, Any]) -> None:
    """Run blocks of a page in a process of their own; skip the test at its end if a library was missing."""
    given = str(ROOT), page, [block.line for block in chosen], desk["places"]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.helpers.pages import main; main(*{given!r})"
    done = python("-c", code, env=desk["env"], cwd=desk["cwd"])

    assert done.returncode == 0, done.stderr or done.stdout
    if absent := [line for line in done.stdout.splitlines() if re.match(r"line \d+ needs ", line)]:
        pytest.skip(f"{page}: {'; '.join(absent)}; the other lines were run")


_BY_BASH = pytest.mark.skipif(sys.platform == "win32", reason="pages are typed into bash; Windows' lines are parsed")


@_BY_BASH
@pytest.mark.parametrize("page", FAST)
def test_python_of_a_page_runs(page: str, desk: dict[str, Any]) -> None:
    """In order, with what it prints compared, and without a socket."""
    run(page, [block for block in RUNNABLE[page] if block.language in PYTHON and not block.title], desk)


@_BY_BASH
@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW)
def test_a_page_runs_from_its_first_line_to_its_last(
    page: str, desk: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    """Commands and Python as a reader would type them, with the real MNIST where the page gets it."""
    if page in WITH_MNIST:
        desk["env"][settings.MIRROR] = str(request.getfixturevalue("realdata"))
    put_files(desk["cwd"], PAGES[page])
    run(page, RUNNABLE[page], desk)


def put_files(folder: Path, found: list[Block]) -> None:
    """Make the folders that the pages about somebody's own files draw as trees."""
    names = {"pets": "cat/0 cat/1 cat/2 dog/0 dog/1", "birds": "train/owl/0 train/wren/0 test/owl/0"}
    if any("ttds add pets" in block.text for block in found):
        pictures = pytest.importorskip("PIL.Image", reason="needs Pillow, of the extra 'images'")
        for number, path in enumerate(f"{top}/{name}.png" for top in names for name in names[top].split()):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            pictures.new("RGB", (8, 8), (20 * number, 90, 160)).save(folder / path)
        shutil.make_archive(str(folder / "pets"), "zip", folder, "pets")
    if any("ttds add notes" in block.text for block in found):
        for path, text in {"happy/1": "What a day!", "happy/2": "Yes!", "sad/1": "No.", "sad/2": "Not again."}.items():
            (folder / "notes" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "notes" / f"{path}.txt").write_text(f"{text}\n")
        (folder / "story.txt").write_text("Once upon a time there was a king.\nHe had a cat.\n")
        (folder / "recordings").mkdir()
        for name in ("7_anna_0", "7_ben_1", "3_anna_0", "3_ben_1"):
            with wave.open(str(folder / "recordings" / f"{name}.wav"), "wb") as recording:
                recording.setnchannels(1)
                recording.setsampwidth(2)
                recording.setframerate(8000)
                recording.writeframes(bytes(range(160)))


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


# What a line of Windows' shells may be, beside a call of the command line.
_PROGRAMS = r"(?:py|python|pip|cd|echo|\.venv\\Scripts\\\S+)(?: .*)?"
WINDOWS_LINES = {
    "powershell": rf"#.*|\$env:(?P<name>\w+) = \"[^\"]*\"|setx (?P<lasting>\w+) .*|{_PROGRAMS}"
    r"|Remove-Item Env:(?P<gone>\w+)|Get-\w+ .*|New-ItemProperty .*|Set-ExecutionPolicy .*",
    "cmd": rf"rem .*|set (?P<name>\w+)=\S*|setx (?P<lasting>\w+) .*|{_PROGRAMS}",
}


@pytest.mark.parametrize(
    "block", [one for one in ALL if one.language in WINDOWS], ids=lambda one: f"{one.page}:{one.line}"
)
def test_lines_for_windows_are_of_its_shells(block: Block) -> None:
    """Each is a call of the command line, or of one of a few forms; variables are those that are read."""
    for line in re.sub(r"\s[`^]\n\s*", " ", block.text).splitlines():
        if not line or re.match("(?:tinytorch-datasets|ttds) ", line):
            continue
        form = re.fullmatch(WINDOWS_LINES[block.language], line)
        assert form, line
        assert {name for name in form.groupdict().values() if name} <= VARIABLES, line


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
    "`target` and `output` must have the same shape": "import keras\n"
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
@pytest.mark.parametrize("message", MADE)
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
            if step.get("uses", "").partition("@")[0].endswith("/tinytorch-datasets"):
                assert step.get("with", {}).keys() <= inputs.keys()
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
    assert {page for page in (*PARSED_ONLY, *IN_ORDER) if page not in PAGES} == set()
