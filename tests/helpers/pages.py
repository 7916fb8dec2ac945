"""The fenced blocks of a page of the documents, and how they are run in order, as a reader would."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PYTHON = ("python", "pycon")
SHELL = ("sh", "bash", "shell", "console")
WINDOWS = ("powershell", "cmd")
SECONDS = 300  # after which a page that hangs is ended
PROSE = "prose"  # what stands in a sentence or in a table, and is a whole command
_FENCE = re.compile(r"^( *)```(\w+)(?: title=\"([^\"\n]*)\")?[^\n]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_GENERATED = re.compile(r"\]\]\] ?-->\n(.*?)<!-- \[\[\[end\]\]\]", re.DOTALL)
_COMMAND = re.compile(r"(?<![`\w])`((?:tinytorch-datasets|ttds) [^`]+)`(?!`)")
_PLACEHOLDER = re.compile(r"(?:^|[ =])(?:[A-Z]{2,}|\u2026|\.\.\.)(?= |$)")  # NAME, FOLDER, ...

_PORT = re.compile(r"http://(\S+:\d+)/")
_PROGRESS = re.compile(r"^\S+: (?:fetching [\d.]+ \w+|\d+ % of [\d.]+ \w+|.* to download, .* free)\n", re.MULTILINE)


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
    text, page = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
    generated = [match.span(1) for match in _GENERATED.finditer(text)]
    return [
        Block(
            page,
            text.count("\n", 0, match.start(4)) + 1,
            match[2],
            match[3] or "",
            re.sub(f"^{match[1]}", "", match[4], flags=re.MULTILINE),
            any(start <= match.start() < end for start, end in generated),
        )
        for match in _FENCE.finditer(text)
    ]


def prose(text: str) -> str:
    """Return a page without its fenced blocks and comments, of which only the line feeds are left."""
    pattern = r"(?ms)^ *```.*?^ *```|<!--.*?-->"
    return re.sub(pattern, lambda match: re.sub(r"[^\n]+", "", match[0]), text)


def commands_in_prose(path: Path, root: Path) -> list[Block]:
    """Return the whole commands in the sentences and tables of a page, of those that stand for nothing else."""
    text, page = prose(path.read_text(encoding="utf-8")), path.relative_to(root).as_posix()
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, PROSE, "", f"{match[1]}\n", False)
        for match in _COMMAND.finditer(text)
        if not _PLACEHOLDER.search(match[1])
    ]


def missing_library(code: str) -> str | None:
    """Return the first library that Python code imports and that is not installed."""
    for node in ast.walk(ast.parse(code)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in [node.module or ""] if isinstance(node, ast.ImportFrom) else names:
            top = name.partition(".")[0]
            if top == "tinytorch_datasets":  # without it nothing is skipped: it fails
                continue
            spec = importlib.util.find_spec(top)  # a folder of that name is none
            if spec is None or spec.origin is None:
                return name if top == "google" else top
    return None


class Reader:
    """A reader at a keyboard: one folder, one environment and one Python, in which the blocks of a page follow.

    `places` has what stands for a path or an address of the page; `shown` has what output shows of a path; `fresh` has
    a pattern of blocks, a folder, and the one that it is a copy of when such a block begins, or "" if it is gone then.
    """

    def __init__(self, places: dict[str, str], *, shown: dict[str, str], fresh: list[tuple[str, str, str]]) -> None:
        self._places, self._shown, self._fresh = places, shown, fresh
        self._start = Path.cwd()
        self._servers: list[subprocess.Popen[str]] = []
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
        self.absent: list[str] = []
        # What a line of a page does must not make Python complain to its reader.
        warnings.filterwarnings("error", module="__main__|tinytorch_datasets")

    def run(self, block: Block) -> None:
        """Run a block. Raises AssertionError if it fails or prints something else than the page shows."""
        for pattern, folder, source in self._fresh:
            if re.search(pattern, block.text):
                shutil.rmtree(folder, ignore_errors=True)
                if source:
                    shutil.copytree(source, folder)
                os.chdir(self._start)  # another reader begins
        text = block.text
        for place, real in self._places.items():
            text = text.replace(place, real)
        if block.title:
            self._file(Path(block.title), text)
        elif block.language in SHELL or block.language == PROSE:
            self._shell(block, text)
        elif block.language in WINDOWS:
            self._shell(block, "".join(f"{line}\n" for line in as_bash(block.language, text)))
        elif block.is_session:
            self._session(block, text)
        else:
            self._script(block, text)

    def close(self) -> None:
        """Press Ctrl-C in each terminal where a server runs."""
        for server in self._servers:
            server.send_signal(signal.SIGINT)
            _, complaint = server.communicate(timeout=20)
            assert server.returncode in (0, 130), complaint

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
        for line in text.splitlines():
            if line.startswith(("!", "%pip ")):
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
        """Run commands by bash; compare what they print where the page shows it, and whether they fail as it shows."""
        is_transcript = block.language == "console"
        commands, expected = _transcript(text, block.text) if is_transcript else ([text], [""])
        place = f"{block.page}:{block.line}"
        if re.search(r" --serve\b", text):
            assert len(commands) == 1, f"{place}: a server is a block of its own"
            self._serve(text.removeprefix("$ ").splitlines()[0], expected[0], place)
            return
        state = os.environ["PAGE_STATE"]
        keep = f'pwd > "{state}"; env -0 >> "{state}"'
        script = "".join(f'{command}\necho "$?" >> "{state}.codes"\n' for command in commands)
        Path(f"{state}.codes").unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "-c", f"{script}{keep}" if is_transcript else f"set -e\n{text}\n{keep}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # in the order of a terminal, where nothing waits in a buffer
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            text=True,
            check=False,
        )
        printed = self._as_shown(done.stdout)
        assert done.returncode == 0, f"{place}: {printed}"
        assert "does not provide the extra" not in printed, f"{place}: {printed}"
        self._carry_on()
        if is_transcript:
            # In a terminal progress is one bar, which is gone at its end.
            ways = printed, _PROGRESS.sub("", printed)
            assert any(_is_as_shown("".join(expected), way) for way in ways), f"{place}: {printed}"
            codes = Path(f"{state}.codes").read_text(encoding="utf-8").split()
            fails = [bool(re.search("(?m)^(?:error|Traceback)\\b", lines)) for lines in expected]
            assert [code != "0" for code in codes] == fails, f"{place}: exit codes {codes}"

    def _serve(self, command: str, expected: str, place: str) -> None:
        """Start a server, and wait for what the page shows of it; it serves until the end of the page."""
        bound = command if " --bind " in command else f"{command} --bind 127.0.0.1"
        bound = bound if " --port " in bound else f"{bound} --port 0"  # the one that the page shows may be taken
        server = subprocess.Popen(
            ["bash", "-c", f"exec {bound}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            text=True,
        )
        self._servers.append(server)
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(max(1, expected.count("\n")))]
        if (shown := _PORT.search(expected)) and (served := _PORT.search("".join(lines))):
            # What follows on the page asks there; before the host alone, which stands in it.
            self._places = {shown[1]: served[1], **self._places}
        if expected or not lines[0]:
            assert _is_as_shown(expected, self._as_shown("".join(lines))), f"{place}: {lines} {server.poll()}"

    def _as_shown(self, output: str) -> str:
        for place, real in [*((shown, real) for real, shown in self._shown.items()), *self._places.items()]:
            output = output.replace(real, place)
        return re.sub(r"[ \t]+$", "", output, flags=re.MULTILINE)

    def _carry_on(self) -> None:
        """Take the folder and the variables that the shell had at its end."""
        folder, _, variables = Path(os.environ["PAGE_STATE"]).read_text(encoding="utf-8").partition("\n")
        os.chdir(folder)
        for name, equals, value in (pair.partition("=") for pair in variables.split("\0")):
            if equals:
                os.environ[name] = value


def _is_as_shown(shown: str, printed: str) -> bool:
    return doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS)


def _transcript(text: str, shown: str) -> tuple[list[str], list[str]]:
    """Return the commands of a transcript, and what is shown below each: paths of the page, not of this computer."""
    commands: list[str] = []
    expected: list[str] = []
    for line, shown_line in zip(text.splitlines(), shown.splitlines(), strict=True):
        if line.startswith("$ "):
            commands.append(line[2:])
            expected.append("")
        elif commands[-1].endswith("\\"):
            commands[-1] += f"\n{line.removeprefix('> ')}"
        else:
            expected[-1] += f"{shown_line}\n"
    return commands, expected


def as_bash(language: str, text: str) -> Iterator[str]:
    """Yield what a block for a shell of Windows does, as lines for bash. Raises AssertionError if that is not certain.

    The block is read by the grammar of that shell; of all that it has, pages use variables and commands.
    """
    from tree_sitter import Language, Parser

    grammar = importlib.import_module(f"tree_sitter_{'powershell' if language == 'powershell' else 'batch'}")
    tree = Parser(Language(grammar.language())).parse(text.encode("utf-8"))
    assert not tree.root_node.has_error, text
    for words in _statements(language, tree.root_node):
        if len(words) == 2 and words[0].startswith("="):
            yield f"export {words[0][1:]}={shlex.quote(words[1])}"
        elif re.fullmatch(r"(?i)\.venv\\Scripts\\activate", words[0]):
            yield ". .venv/bin/activate"
        else:
            yield shlex.join(words)


def _statements(language: str, node: Any) -> Iterator[list[str]]:
    """Yield the words of each command, and `=NAME` with a value for each variable that is set."""
    text = node.text.decode("utf-8")
    if node.type in ("comment", "rem", ";") or not text.strip():
        return
    if language == "powershell" and node.type == "assignment_expression":
        match = re.fullmatch(r"\$env:(\w+) = \"([^\"$`]*)\"", text)
        assert match, text
        yield [f"={match[1]}", match[2]]
    elif language == "powershell" and node.type == "command":
        words = [node.child_by_field_name("command_name").text.decode("utf-8")]
        for word in (one for child in node.children if child.type == "command_elements" for one in child.children):
            if word.type != "command_argument_sep":
                assert word.type in ("generic_token", "command_parameter", "array_literal_expression"), word
                words.append(re.sub(r"^\"([^\"$`]*)\"$", r"\1", word.text.decode("utf-8")))
        assert not re.search(r"[\"'$`(){}|;&@<>]", "".join(words)), text
        yield words
    elif language == "cmd" and node.type == "variable_assignment":
        match = re.fullmatch(r"set (\w+)=(\S*)", text)
        assert match, text
        yield [f"={match[1]}", match[2]]
    elif language == "cmd" and node.type == "cmd":
        words = re.sub(r"\^\n\s*", "", text).split()
        assert not re.search(r"[\"'%^|&<>()]", "".join(words)), text
        yield words
    else:
        assert node.children, (node.type, text)
        for child in node.children:
            yield from _statements(language, child)


def main(chosen: list[Any], desk: dict[str, Any]) -> None:
    """Run blocks in order, and print what needed a library that is not here."""
    if hasattr(signal, "alarm"):
        signal.alarm(SECONDS)
    sys.path.insert(0, str(Path.cwd()))  # as a Python has that somebody starts in a folder
    reader = Reader(desk["places"], shown=desk["shown"], fresh=desk["fresh"])
    try:
        for block in chosen:
            reader.run(Block(*block))
    finally:
        reader.close()
    sys.stdout.write("".join(f"{line}\n" for line in reader.absent))
