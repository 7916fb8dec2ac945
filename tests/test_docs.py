"""What the documents say is what the code does."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

import tinytorch_datasets
import tinytorch_datasets.errors
from tests.conftest import ROOT
from tests.helpers.fresh_process import python
from tinytorch_datasets import load_manifest

DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("benchmarks/*.md"),
        *ROOT.glob("fuzz/*.md"),
        *ROOT.glob("datasets/**/*.md"),
    ]
)
PAGES = sorted(set(ROOT.glob("docs/**/*.md")) - {ROOT / "docs" / "index.md"})
GENERATED = [path for path in DOCUMENTS if "[[[cog" in path.read_text(encoding="utf-8")]


def relative(path: Path) -> str:
    """A document's name, for the test's."""
    return str(path.relative_to(ROOT))


@pytest.mark.slow  # what is wrong with them shows in the checks of a change, too
@pytest.mark.parametrize("document", GENERATED, ids=relative)
def test_generated_parts_are_as_the_code_writes_them(document: Path) -> None:
    """`cog -P -r` writes them anew."""
    done = python("-m", "cogapp", "-P", "--check", "--diff", str(document), cwd=ROOT)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link is a file or folder of the repository, and a heading in it, where one is named."""
    text = re.sub(r"<!-- site: .*? -->", "", document.read_text(encoding="utf-8"))  # its builder checks those
    for link, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        target = document.parent / link if link else document
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert heading in anchors, f"{link}#{heading}"


def test_what_is_unreleased_is_listed_once_and_below_its_kind() -> None:
    """A merge may put a list back that was ordered anew meanwhile."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased = text.partition("\n## Unreleased\n")[2].partition("\n## ")[0]
    kinds = re.findall(r"^### (.*)$", unreleased, re.MULTILINE)
    lines = re.findall(r"^- .*$", unreleased, re.MULTILINE)

    assert kinds == [kind for kind in ("Added", "Changed", "Fixed") if kind in kinds]
    assert "\n- " not in unreleased.partition("\n### ")[0]
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_yaml_that_is_shown_is_a_manifest(document: Path, tmp_path: Path) -> None:
    """An entry in the documents can be pasted under `datasets:` and is valid; so is a whole manifest by itself."""
    for block in re.findall(r"```yaml\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
        is_whole = "\nversion: " in f"\n{block}"
        if "  files:\n" in block or is_whole:
            path = tmp_path / "datasets.yaml"
            entry = "version: 1\ndatasets:\n" + "".join(f"  {line}\n" for line in block.splitlines())
            path.write_text(block if is_whole else entry)

            assert load_manifest(path).datasets


def test_ci_types_the_readmes_own_commands() -> None:
    """To set up, and to test: a line each, that needs nothing but Python."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"```sh\n(.*?)\n```", readme)
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert [command.split(" && ")[-1] for command in commands[:2]] == [
        ".venv/bin/tinytorch-datasets get tinydigits tinytalks",
        ".venv/bin/pytest -n auto",
    ]
    assert "the test command" in readme
    for part in ("/^## Set up$/,/the test command/p", "/the test command/,/^```$/p"):
        assert f"'{part}'" in ci


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_page_has_a_title_and_the_question_that_it_answers(page: Path) -> None:
    """The title is what the field calls it; the question stands in README's index, with a link."""
    title, question = page.read_text(encoding="utf-8").splitlines()[:2]

    assert re.fullmatch(r"# [A-Z][^?]{,40}", title)
    assert re.fullmatch(r"<!-- question: [A-Z].*\? -->", question)
    index = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{page.relative_to(ROOT / 'docs')}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), (
        "a page has a line in the nav of mkdocs.yml, which README's index follows"
    )
    assert f"| {question[len('<!-- question: ') : -len(' -->')]} | [{title[2:]}]({relative(page)}) |" in index


def test_every_public_name_is_in_the_api_reference() -> None:
    """Under its own name, or where the page says of it what another page has in full."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in tinytorch_datasets.__all__:
        assert name == "__version__" or re.search(rf"\b{name}\b", page), name


# What must be true of what a line of docs/how-to/tables.md gives, and what is to be imported for it.
NEIGHBORS = {
    "polars": ("polars", "numpy.array_equal(result['images'], train.images)"),
    "DuckDB": ("duckdb", "result.fetchall() == [(label, 100) for label in range(10)]"),
    "pyarrow": ("pyarrow", "result['images'].to_pylist() == train.images.tolist()"),
    "pandas 3": ("pandas", "result['labels'].tolist() == train.labels.tolist()"),
    "pandas": ("pyarrow, pandas", "result['labels'].tolist() == train.labels.tolist()"),
    "Hugging Face": ("pyarrow, datasets.arrow_dataset", "result.to_dict()['images'] == train.images.tolist()"),
}


@pytest.mark.parametrize("library", NEIGHBORS)
def test_the_line_for_a_library_of_tables_runs(library: str) -> None:
    """And gives the values of the split; where the library is not installed, that is all that is known."""
    page = (ROOT / "docs" / "how-to" / "tables.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^\| {library} \| `(.*)` \|$", page, re.MULTILINE)
    modules, truth = NEIGHBORS[library]
    for module in modules.split(", "):
        found = importlib.util.find_spec(module.partition(".")[0])  # imported by another process: some start threads
        if found is None or found.origin is None:  # a folder of that name is none either
            pytest.skip(f"{library} is not installed; the package does not need it")
    code = f"""
import {modules}
import numpy
from tinytorch_datasets import get
train = get("tinydigits").train
if {library == "pandas 3"} and not hasattr(pandas.DataFrame, "from_arrow"):
    raise SystemExit("none")
result = {line}
print({truth})
"""
    done = python("-c", code)

    if done.stderr == "none\n":
        pytest.skip("this pandas is older than DataFrame.from_arrow")
    assert done.stdout == "True\n", done.stderr


def test_the_picture_of_a_terminal_is_what_the_commands_print(tmp_path: Path) -> None:
    """`python docs/terminal_picture.py` writes it, and it is small enough for a first screen."""
    picture = ROOT / "docs" / "images" / "terminal.svg"
    code = (
        "import sys; sys.path.insert(0, 'docs'); import terminal_picture as t; print(t.drawn(t.transcript()), end='')"
    )
    done = python("-c", code, cwd=ROOT)

    assert done.stdout == picture.read_text(encoding="utf-8"), done.stderr
    assert picture.stat().st_size < 60_000


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("sends other bytes than the declared ones", "source"),
        ("is remote but has no mirror and no url", "ManifestError"),
        ("has no declared classes, by which it could be one-hot", "UsageError"),
        ("which no array of numbers needs; nothing was run", "UnsafePickle"),
        ("it is a tar archive, and none of its members is a batch of CIFAR's", "DecodeError"),
        ("none of the folders in \u2026 can be written to: \u2026", "StorageError"),
        ("its own header says otherwise than the central directory", "DecodeError"),
        ("records are all that are declared, and", "ContentError"),
    ],
)
def test_an_error_is_found_by_its_message(message: str, name: str) -> None:
    """Of each kind of place in the code that a message is written in."""
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    heading = "FetchError" if name == "source" else name
    section = page.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]

    assert message in section


def test_a_message_has_one_row() -> None:
    """Whatever hints it comes with: they stand side by side."""
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    for section in page.split("\n### "):
        rows = re.findall(r"(?m)^\| (`+ ?.*? ?`+) \|", section)
        assert len(rows) == len(set(rows)), section.partition("\n")[0]


def test_every_class_of_errors_has_its_section() -> None:
    """Under the heading that its name is."""
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    errors = [value for value in vars(tinytorch_datasets.errors).values() if isinstance(value, type)]

    assert not [
        error.__name__
        for error in errors
        if issubclass(error, tinytorch_datasets.errors.DatasetError) and f"\n### {error.__name__}\n" not in page
    ]


def test_every_data_set_is_in_the_guide() -> None:
    """`datasets/README.md` names each, and each that ships has a data card and a license beside it."""
    guide = (ROOT / "datasets" / "README.md").read_text(encoding="utf-8")
    for name, entry in load_manifest().own.items():
        assert f"`{name}`" in guide
        if entry.status == "shipped":
            folder = ROOT / "datasets" / (entry.folder or name)
            assert (folder / "README.md").is_file()
            assert (folder / "LICENSE").is_file()


def test_nothing_large_is_under_version_control() -> None:
    """The repository fits any stick: no file past a megabyte, ten in all."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: an unpacked archive has no list of what is under version control")
    sizes = [(ROOT / path).stat().st_size for path in listed.stdout.splitlines() if (ROOT / path).is_file()]

    assert max(sizes) < 1_000_000
    assert sum(sizes) < 10_000_000


# Only what is never right in American English, and nothing that is another word as well.
BRITISH = re.compile(
    r"licence|colour|behaviour|honour|favour|neighbour|centred|labelled"
    r"|(?:recogn|normal|memor|general|initial|serial)is(?:e|ing|ation)",
    re.IGNORECASE,
)
# A misspelled key that is refused, names of files that others write, and data.
SPELLED_OTHERWISE = {
    "tests/manifest/test_manifest.py",
    "tinytorch_datasets/auditing/lint.py",
    "tests/test_tinytalks.py",
}


def test_one_spelling_everywhere() -> None:
    """The American one, as the manifest's key `license` is."""
    folders = ("tinytorch_datasets", "tests", "docs", "benchmarks", "fuzz", "milestones")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md")]
    paths += [*ROOT.glob("*.md"), *ROOT.glob("datasets/**/*.md"), ROOT / "datasets.yaml"]
    places = {relative(path): BRITISH.findall(path.read_text(encoding="utf-8")) for path in paths}
    mine = {relative(Path(__file__))} | SPELLED_OTHERWISE

    assert not {place: words for place, words in places.items() if words and place not in mine}
