"""The fenced blocks of a page of the documents, and how they are run in order, as a reader would."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

PYTHON = ("python", "pycon")
SHELL = ("sh", "bash", "shell", "console")
WINDOWS = ("powershell", "cmd")
# Of nothing but these lines no test can be made without an index of packages: what they name is compared instead.
_INSTALLERS = r"(?:\S*/)?(?:pip|py -m (?:pip|venv)|python3? -m (?:venv|pip))"
INSTALLS = re.compile(rf"^(?:[$>%!] ?)?(?:{_INSTALLERS} .*|(?:\. |source )?\S*activate)$", re.MULTILINE)
_FENCE = re.compile(r"^( *)```(\w+)(?: title=\"([^\"\n]*)\")?[^\n]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_GENERATED = re.compile(r"\]\]\] ?-->\n(.*?)<!-- \[\[\[end\]\]\]", re.DOTALL)


class Block(NamedTuple):
    """A fenced block: where it stands, its language, title and text, and whether cog wrote it."""

    page: str
    line: int
    language: str
    title: str
    text: str
    is_generated: bool

    @property
    def first(self) -> str:
        """The first line, by which tests name a block."""
        return self.text.split("\n", 1)[0]

    @property
    def is_session(self) -> bool:
        """Whether it shows Python's prompt and what is printed."""
        return self.language in PYTHON and ">>> " in self.text


def blocks(path: Path, root: Path) -> list[Block]:
    """Return the fenced blocks of a page that name a language, in order; blanks before the fence are left out."""
    text = path.read_text(encoding="utf-8")
    generated = [match.span(1) for match in _GENERATED.finditer(text)]
    return [
        Block(
            path.relative_to(root).as_posix(),
            text.count("\n", 0, match.start(4)) + 1,
            match[2],
            match[3] or "",
            re.sub(f"^{match[1]}", "", match[4], flags=re.MULTILINE),
            any(start <= match.start() < end for start, end in generated),
        )
        for match in _FENCE.finditer(text)
    ]


def missing_library(code: str) -> str | None:
    """Return the first library that Python code imports and that is not installed."""
    for node in ast.walk(ast.parse(code)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in [node.module or ""] if isinstance(node, ast.ImportFrom) else names:
            top = name.partition(".")[0]
            spec = importlib.util.find_spec(top)  # a folder of that name is none
            if spec is None or spec.origin is None:
                return name if top == "google" else top
    return None


class Reader:
    """A reader at a keyboard: one folder, one environment and one Python, in which the blocks of a page follow."""

    def __init__(self, places: dict[str, str]) -> None:
        self._places = places  # a path as the page shows it, and where it is
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
        self.absent: list[str] = []
        # What a line of a page does must not make Python complain to its reader.
        warnings.filterwarnings("error", module="__main__|tinytorch_datasets")

    def run(self, block: Block) -> None:
        """Run a block. Raises AssertionError if it fails or prints something else than the page shows."""
        text = block.text
        for shown, real in self._places.items():
            text = text.replace(shown, real)
        if block.title:
            self._file(Path(block.title), text)
        elif block.language in SHELL:
            self._shell(block, text)
        elif block.is_session:
            self._session(block, text)
        else:
            self._script(block, text)

    def _file(self, path: Path, text: str) -> None:
        """Write the file that a block is titled by; a line such as `NAME = 1` alone takes the place of that line."""
        if re.fullmatch(r"\w+ = .*\n", text):
            name = text.partition(" =")[0]
            text, changes = re.subn(rf"^{name} = .*\n", text, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert changes == 1, name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _session(self, block: Block, text: str) -> None:
        test = doctest.DocTestParser().get_doctest(text, self._names, block.first, block.page, block.line - 1)
        if library := missing_library("".join(example.source for example in test.examples)):
            self.absent.append(f"line {block.line} needs {library}")
            return
        printed: list[str] = []
        # The test's own dictionary is a copy, and what it names is there for the next block.
        failed = self._runner.run(test, out=printed.append, clear_globs=False).failed
        self._names.update(test.globs)
        assert not failed, "".join(printed)

    def _script(self, block: Block, text: str) -> None:
        """Run Python code; in a notebook's cell also `%env`, and lines for the shell."""
        kept = []
        for line in INSTALLS.sub("", text).splitlines():
            if line.startswith("!"):
                self._shell(block._replace(language="sh", text=line[1:]), line[1:])
            elif line.startswith("%env "):
                name, _, value = line[len("%env ") :].partition("=")
                os.environ[name] = value
            kept.append("" if line.startswith(("!", "%")) else line)
        code = "\n".join(kept)
        if library := missing_library(code):
            self.absent.append(f"line {block.line} needs {library}")
        elif "__main__" in code:  # its workers may import the file
            Path("example.py").write_text(code, encoding="utf-8")
            command = [sys.executable, "-W", "error", "example.py"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block.page}:{block.line}: {done.stderr}"
        else:
            try:
                exec(compile("\n" * (block.line - 1) + code, block.page, "exec"), self._names)
            except NameError:
                if not self.absent:
                    raise
                self.absent.append(f"line {block.line} needs what was not run")

    def _shell(self, block: Block, text: str) -> None:
        """Run commands by bash, and compare what they print where the page shows it."""
        is_transcript = block.language == "console"
        script = [] if is_transcript else ["set -e"]
        expected = []
        for line, shown_line in zip(text.splitlines(), block.text.splitlines(), strict=True):
            if is_transcript and not line.startswith("$ "):
                expected.append(shown_line)
            elif not INSTALLS.match(line):
                script.append(line[2:] if is_transcript else line)
        end = 'pwd > "$PAGE_STATE"; env -0 >> "$PAGE_STATE"'
        command = ["bash", "-c", "\n".join([*script, end])]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # in the order of a terminal, where nothing waits in a buffer
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            text=True,
            check=False,
        )
        place = f"{block.page}:{block.line}"
        if not is_transcript:
            assert done.returncode == 0, f"{place}: {done.stdout}"
        self._carry_on()
        if is_transcript:
            wanted, printed = "".join(f"{line}\n" for line in expected), self._as_shown(done.stdout)
            assert doctest.OutputChecker().check_output(wanted, printed, doctest.ELLIPSIS), f"{place}: {printed}"

    def _as_shown(self, output: str) -> str:
        for shown, real in self._places.items():
            output = output.replace(real, shown)
        return re.sub(r"[ \t]+$", "", output, flags=re.MULTILINE)

    def _carry_on(self) -> None:
        """Take the folder and the variables that the shell had at its end."""
        folder, _, variables = Path(os.environ["PAGE_STATE"]).read_text(encoding="utf-8").partition("\n")
        os.chdir(folder)
        for name, equals, value in (pair.partition("=") for pair in variables.split("\0")):
            if equals:
                os.environ[name] = value


def main(root: str, page: str, chosen: list[int], places: dict[str, str]) -> None:
    """Run those blocks of a page that begin at the chosen lines, and print what needed a library that is not here."""
    reader = Reader(places)
    for block in blocks(Path(root, page), Path(root)):
        if block.line in chosen:
            reader.run(block)
    sys.stdout.write("".join(f"{line}\n" for line in reader.absent))
