"""The command line: the answer on stdout, the story on stderr, and an exit code that programs can trust."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from tests.conftest import ROOT
from tests.helpers.audit_world import World, copied
from tests.helpers.declared import declare
from tests.helpers.faulty_server import FaultyServer
from tests.helpers.format_writers import npy
from tests.helpers.fresh_process import python
from tests.helpers.mutations import hash_of
from tinytorch_datasets import audit, errors, get
from tinytorch_datasets.cli import main

COMMANDS = sorted(main.commands)


@pytest.fixture
def world(pristine: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world of one's own, in which every command works by itself."""
    own = copied(pristine, tmp_path / "world")
    monkeypatch.setenv("TINYTORCH_DATASETS_MANIFEST", str(own.manifest))
    return own


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, that knows only what is on disk."""
    return python("-m", "tinytorch_datasets", *arguments, env={**os.environ, **more})


def on_a_terminal(*arguments: str, typed: str = "", **more: str) -> tuple[str, int]:
    """What a person sees who types this, both streams on one terminal; and the exit code."""
    main_end, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    command = ["-m", "tinytorch_datasets", *arguments]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", **more}

    def process() -> int:
        try:
            if more.keys() & {"PYTHONIOENCODING"}:  # which Python looks at when it starts, and no fork does
                command[:0] = [sys.executable]
                return subprocess.run(command, env=environment, stdin=other, stdout=other, stderr=other).returncode
            return python(*command, env=environment, terminal=os.ttyname(other)).returncode
        finally:
            os.close(other)  # the last one: what was written can be read, and then the end

    seen = b""
    with ThreadPoolExecutor(1) as pool:
        code = pool.submit(process)
        os.write(main_end, typed.encode())
        with contextlib.suppress(OSError):  # which is how the end of a terminal is reported
            while chunk := os.read(main_end, 65536):
                seen += chunk
    os.close(main_end)
    return seen.decode(), code.result()


class TestEveryCommand:
    """Each has help with an example, is in docs/cli.md, and answers a wrong option with a guess."""

    @pytest.mark.parametrize("command", COMMANDS)
    def test_has_help_with_an_example(self, command: str) -> None:
        """A verb first, and at least one line that can be typed."""
        result = CliRunner().invoke(main, [command, "--help"], prog_name="tinytorch-datasets")

        assert result.exit_code == 0
        assert re.search(rf"^ +.*tinytorch-datasets {command}\b", result.output.partition("Options:")[0], re.MULTILINE)
        assert re.match(r"[A-Z][a-z]+[ ,]", (main.commands[command].help or "").strip())

    @pytest.mark.parametrize("command", ["", *(command for command in COMMANDS if command != "add")])
    def test_has_help_that_fits_a_screen(self, command: str) -> None:
        """Of 24 lines and 80 columns; the options of `add` alone are nearly as many."""
        result = CliRunner().invoke(main, [*command.split(), "--help"], prog_name="ttds", terminal_width=78)

        lines = result.output.splitlines()
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 78
        assert lines[0].startswith("Usage: ttds ")

    def test_is_named_in_the_help_of_all(self) -> None:
        """Each under what it is for, none cut, the rest by name."""
        result = CliRunner().invoke(main, ["--help"], prog_name="ttds", terminal_width=78)

        assert {command for command in COMMANDS if re.search(rf"^(  |Others: .*){command}\b", result.output, re.M)} == {
            *COMMANDS
        }
        assert "..." not in result.output.partition("\n")[2]

    @pytest.mark.parametrize("command", COMMANDS)
    def test_is_in_the_docs(self, command: str) -> None:
        """`cog` writes docs/cli.md from the commands themselves; none is missing."""
        assert f"## tinytorch-datasets {command}\n" in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_reports_a_wrong_option(self, command: str) -> None:
        """Exit 2, on stderr."""
        result = CliRunner().invoke(main, [command, "--manifst", "x"])

        assert (result.exit_code, result.stdout) == (2, "")
        assert "No such option" in result.stderr or "no such option" in result.stderr.lower()

    @pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("schema", "compile", "init", "completion")])
    def test_takes_json_another_manifest_and_another_folder(self, command: str) -> None:
        """Wherever a program would want it: `init` makes a manifest, and `completion` asks none."""
        options = {name for option in main.commands[command].params for name in option.opts}

        assert {"--json", "--manifest", "--home"} <= options

    @pytest.mark.parametrize("command", [c for c in COMMANDS if c != "schema"])
    def test_takes_json(self, command: str) -> None:
        """All but `schema`, which is JSON."""
        assert "--json" in {name for option in main.commands[command].params for name in option.opts}


class TestWrongCalls:
    """Exit 2, the hint on stderr, nothing on stdout."""

    CASES = (
        (("adit",), "Error: No such command 'adit'. Did you mean 'audit'?"),
        (("get", "--al"), "No such option '--al'"),
        (("get",), "Error: name the data sets to get, or --all"),
        (("get", "--all", "talk"), "Error: name the data sets to get, or --all, not both"),
        (("get", "digist"), "did you mean 'digits'?"),
        (("info", "digist"), "did you mean 'digits'?"),
        (("path", "digist"), "did you mean 'digits'?"),
        (("audit", "digist"), "did you mean 'digits'?"),
        (("clean", "digist"), "did you mean 'digits'?"),
        (("mirror", "there", "digist"), "did you mean 'digits'?"),
        (("lock", "digist"), "did you mean 'digits'?"),
        (("update", "digist"), "did you mean 'digits'?"),
        (("audit", "--remote", "--offline"), "error: --remote opens sockets, and --offline forbids it"),
        (("audit", "--only", "remote", "--offline"), "error: --only remote opens sockets, and --offline forbids it"),
        (("audit", "--deep", "--offline"), "error: --deep opens sockets, and --offline forbids it"),
        (("audit", "--mirror", ".", "--deep"),
         "Error: --mirror checks that mirror and nothing else: leave out --only, --remote, --deep, --remember, "
         "--lock and --[no-]decode"),
        (("audit", "--mirror", "http://127.0.0.1:9/", "--offline"),
         "error: a mirror at an address opens sockets, and --offline forbids it"),
        (
            ("list", "--manifest", "http://127.0.0.1/datasets.yaml"),
            "Invalid value for '--manifest': this is an address of http://, where a path is needed",
        ),
        (("audit", "--mirror", "ftp://127.0.0.1/"), "error: --mirror is an address of ftp://, where a path is needed"),
        (("audit", "--only", "shiped"), "Error: Invalid value for '--only': 'shiped' is not one of"),
        (("add", "x.csv", "--split", "test"), "Error: --split is SPLIT=PATTERN (test=holdout.csv), not 'test'"),
        (("add", "x.csv", "--mirror", "ftp://x/"),
         "Error: --mirror is an address that starts with https:// or http://, not 'ftp://x/'"),
    )  # fmt: skip

    @pytest.mark.parametrize(("arguments", "message"), CASES, ids=[" ".join(case[0]) for case in CASES])
    def test_is_reported(self, world: World, arguments: tuple[str, ...], message: str) -> None:
        """With a guess at what was meant, where there is one."""
        result = CliRunner().invoke(main, list(arguments))

        assert (result.exit_code, result.stdout) == (2, "")
        assert message.replace("'", "") in result.stderr.replace("'", "").replace(
            "(Possible options: ", "Did you mean one of: "
        )


def test_a_data_set_that_is_named_twice_is_got_once(world: World) -> None:
    """The case of letters does not matter."""
    result = CliRunner().invoke(main, ["get", "talk", "flowers", "TALK"])

    assert result.exit_code == 0, result.output
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == ["talk", "flowers"]


class TestABadManifest:
    """All that is wrong is reported at once, each with its line; exit 2; nothing is downloaded."""

    @pytest.mark.parametrize("command", [["audit"], ["list"], ["get", "--all"], ["info", "digits"], ["mirror", "x"]])
    def test_for_every_command(self, world: World, command: list[str], no_network: None) -> None:
        """An unknown key, a duplicate one, a wrong type, a bad hash, an unknown format, a path that leaves."""
        world.edit("title: Talk", "titel: Talk")
        world.edit("title: Digits", "title: Digits\n    title: Again")
        world.edit("samples: 12", "samples: twelve")
        world.edit(hash_of(world, "talk.txt"), "ABC")
        world.edit("format: idx", "format: ixd")
        world.edit("train: {samples: 3, file: talk.txt}", "train: {samples: 3, file: tlak.txt}")
        world.file("digits/train-images").unlink()
        result = CliRunner().invoke(main, command)
        line = world.line

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.splitlines() == [
            f"error: datasets.yaml:{line('talk:')}: talk.title: is missing",
            f"datasets.yaml:{line('titel')}: talk.titel: unknown key; did you mean 'title'?",
            f"datasets.yaml:{line('tlak')}: talk.splits.train.file: 'tlak.txt' is not under files; "
            "did you mean 'talk.txt'?",
            f"datasets.yaml:{line('ABC')}: talk.files.talk.txt.sha256: not a sha256: 64 lowercase hex digits, "
            "has 3 characters",
            f"datasets.yaml:{line('Again')}: digits.title: duplicate key 'title'; it stands on line "
            f"{line('title: Digits')} already",
            f"datasets.yaml:{line('ixd')}: digits.format: no decoder for format 'ixd'; did you mean 'idx'?",
            f"datasets.yaml:{line('twelve')}: digits.splits.train.samples: must be a whole number, is text 'twelve'",
            f"7 problems in {world.manifest}. Nothing was downloaded.",
        ]
        assert not world.file("digits/train-images").exists()

    def test_a_manifest_that_is_not_there(self, tmp_path: Path) -> None:
        """Its path, and exit 2."""
        result = CliRunner().invoke(main, ["list", "--manifest", str(tmp_path / "gone.yaml")])

        assert (result.exit_code, result.stderr) == (
            2,
            "error: gone.yaml:1: cannot be read: there is no such file\n"
            f"1 problem in {tmp_path / 'gone.yaml'}. Nothing was downloaded.\n",
        )

    def test_an_audit_still_reports_to_programs(self, world: World) -> None:
        """--json has the problems as findings, and the exit code."""
        world.edit("title: Talk", "titel: Talk")
        code, result = world.audit()

        assert (code, result["ok"], result["exit_code"]) == (2, False, 2)
        assert [(f["rule"], f["line"]) for f in result["findings"]] == [
            ("manifest", world.line("  talk:")), ("manifest", world.line("titel"))]  # fmt: skip


class TestStreams:
    """stdout is the answer, stderr is the story."""

    def test_a_get_answers_on_stdout_and_reports_on_stderr(self, world: World, tmp_path: Path) -> None:
        """A line a data set; a line a file that came."""
        (tmp_path / "usb").mkdir()
        world.file("digits/train-images").parent.rename(tmp_path / "usb" / "digits")
        shutil.rmtree(world.root / "home" / ".cache")
        result = run("get", "digits", "--mirror", str(tmp_path / "usb"))

        assert result.stdout == f"digits: train 12, test 6; {world.root / 'home' / 'digits'}\n"
        header, *lines = result.stderr.splitlines()
        assert re.fullmatch(r"digits: \d+ B to download, 432 B to decode, [\d.]+ .B free", header)  # 18 of 16 + 8
        assert sorted(lines)[0] == "test-images: fetching 112 B"
        assert len(lines) == 4

    def test_a_get_of_several_tries_each(self, world: World) -> None:
        """One that fails is reported in the end, and the exit code is its own."""
        world.flip(world.file("flowers/train.csv"))
        result = CliRunner().invoke(main, ["get", "flowers", "digits", "talk"])

        assert [line.partition(":")[0] for line in result.stdout.splitlines()] == ["digits", "talk"]
        assert result.stderr.count("error: ") == 1
        assert "train.csv is not the declared file" in result.stderr
        assert result.exit_code == 1

    def test_an_audit_goes_whole_into_a_file(self, world: World, tmp_path: Path) -> None:
        """No color, no bar, no cut lines; the exit code is the audit's."""
        world.flip(world.file("talk/talk.txt"))
        with (tmp_path / "output.txt").open("wb") as out:
            code = subprocess.run(
                [sys.executable, "-m", "tinytorch_datasets", "audit"], stdout=out, check=False
            ).returncode
        text = (tmp_path / "output.txt").read_text()

        assert code == 1
        assert "\x1b" not in text
        assert text.splitlines()[:3] == [
            "flowers  ok            2 files, 496 B hashed, 30 samples compared",
            "talk     mismatch      1 file, 29 B hashed",
            "digits   ok            4 files, 354 B hashed, 18 samples compared",
        ]  # fmt: skip
        assert text.splitlines()[-1] == f"{world.manifest}: 1 error."

    @pytest.mark.parametrize(
        "arguments",
        [("list",), ("info", "digits"), ("get", "digits"), ("audit",), ("path", "digits"),
         ("clean", "--arrays", "--yes"), ("lock",), ("update", "talk"), ("mirror", "{tmp}", "talk"),
         ("add", "{csv}", "--ship", "--dry-run")],
        ids=lambda arguments: arguments[0],
    )  # fmt: skip
    def test_json_is_all_of_stdout(self, world: World, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        """Nothing before it, nothing after it."""
        (tmp_path / "mine.csv").write_text("a,b\n1,2\n3,4\n5,6\n7,8\n")
        given = [a.format(tmp=tmp_path / "mirror", csv=tmp_path / "mine.csv") for a in arguments]
        result = CliRunner().invoke(main, [*given, "--json"])

        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) is not None

    def test_a_reader_that_has_seen_enough_is_no_error(self, world: World) -> None:
        """`| head -1`: exit quietly, no traceback, no word from Python at exit."""
        command = f"{sys.executable} -m tinytorch_datasets info digits --json | head -1; echo ${{PIPESTATUS[0]}}"
        result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)

        assert (result.stdout.splitlines()[0], result.stderr) == ("{", "")
        assert result.stdout.splitlines()[-1] == "0"

    @pytest.mark.parametrize(
        "more", ["", pytest.param("--json", marks=pytest.mark.slow), pytest.param("--github", marks=pytest.mark.slow)]
    )
    def test_an_audit_that_nobody_listens_to_ends_as_it_would(self, world: World, tmp_path: Path, more: str) -> None:
        """Its reports are written, and its exit code says what was found."""
        world.flip(world.file("talk/talk.txt"))
        command = f"{sys.executable} -m tinytorch_datasets audit --junit {tmp_path}/x.xml {more} | true"
        result = subprocess.run(["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True)

        assert (result.stdout, result.stderr) == ("1\n", "")
        assert "file-hash" in (tmp_path / "x.xml").read_text()

    def test_a_mirror_that_nobody_listens_to_is_whole(self, world: World, tmp_path: Path) -> None:
        """Every data set, and the list of sums in the end."""
        command = f"{sys.executable} -m tinytorch_datasets mirror {tmp_path}/stick | true"
        result = subprocess.run(["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True)

        assert result.stdout == "0\n"
        assert (tmp_path / "stick" / "SHA256SUMS").exists()

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110
    def test_a_full_disk(self, world: World) -> None:
        """One line, exit 1, and no word from Python at exit."""
        command = [sys.executable, "-m", "tinytorch_datasets", "list"]
        with Path("/dev/full").open("w") as full:
            result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)

        assert result.returncode == 1
        assert result.stderr == (
            "error: stdout cannot be written: No space left on device\n  Free some space, or redirect it elsewhere.\n"
        )

    @pytest.mark.parametrize(
        "closed",
        [pytest.param("2>&-", marks=pytest.mark.slow), pytest.param(">&-", marks=pytest.mark.slow), ">&- 2>&-"],
    )
    def test_no_streams_at_all(self, world: World, closed: str) -> None:
        """As under pythonw: the exit code is all there is to hear."""
        command = f"{sys.executable} -m tinytorch_datasets audit talk {closed}"
        result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)

        assert (result.returncode, result.stderr) == (0, "")

    def test_an_old_terminal(self, world: World) -> None:
        """What it has no letters for is spelled out."""
        world.edit("title: Talk", "title: T\u2603lk")
        command = [sys.executable, "-m", "tinytorch_datasets", "info", "talk"]
        latin = {**os.environ, "PYTHONIOENCODING": "latin-1"}
        result = subprocess.run(command, capture_output=True, text=True, env=latin)

        assert (result.returncode, result.stderr) == (0, "")
        assert "T\\u2603lk" in result.stdout

    @pytest.mark.skipif(sys.platform != "linux", reason="the names of files are text there, whatever the locale is")
    def test_a_path_in_the_locale_of_computers(self, tmp_path: Path) -> None:
        """In LC_ALL=C no letter is known but those of ASCII; a path is printed with the very bytes that it has."""
        home = tmp_path / "Grüße"
        command = [sys.executable, "-m", "tinytorch_datasets", "path", "mnist", "--home", str(home)]
        environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
        environment.pop("PYTHONIOENCODING", None)
        result = subprocess.run(command, capture_output=True, env=environment)

        assert (result.returncode, result.stdout) == (0, os.fsencode(home / "mnist") + b"\n"), result.stderr

    @pytest.mark.parametrize(
        "command",
        [
            *("list", "info talk", "show talk", "get talk digits", "audit", "config", "path talk", "lock -o -"),
            *("export talk --as bibtex", "export talk --as croissant --no-values"),
            *("mirror {}/out talk", "catalog {}/out", "clean digits --dry-run", "update talk --dry-run"),
            *("list --json", "info talk --json", "show talk --json", "get talk --json", "audit --json"),
            *("export talk --as bibtex --json", "config --json"),
        ],
    )
    def test_a_pipe_on_windows(self, command: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """In cp1252, lines are the same but for letters that it lacks, which are spelled out; JSON reads the same."""
        world.edit("title: Talk", "title: T\u2603lk \u2013 \U0001f338")
        world.put("talk/talk.txt", "Hello!\n\u4f60\u597d\nGoodbye.\n".encode())
        monkeypatch.setenv("TINYTORCH_DATASETS_MANIFEST", str(world.manifest))
        runs = {}
        for charset in ("utf-8", "cp1252"):
            result = CliRunner(charset=charset).invoke(main, command.format(world.root / charset).split())
            assert result.exit_code == 0, result.output
            runs[charset] = result.stdout_bytes.decode(charset).replace(str(world.root / charset), "")
        if runs["utf-8"].startswith(("{", "[")):
            assert json.loads(runs["cp1252"].encode("cp1252")) == json.loads(runs["utf-8"])
        else:
            assert runs["cp1252"] == runs["utf-8"].encode("cp1252", "backslashreplace").decode("cp1252")

    def test_a_full_pipe_that_closes(self, world: World) -> None:
        """The reader is gone before the first byte is written."""
        command = f"{sys.executable} -m tinytorch_datasets schema | true; echo ${{PIPESTATUS[0]}}"
        result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)

        assert "Traceback" not in result.stderr
        assert "BrokenPipe" not in result.stderr


class TestATerminal:
    """Color and bars for a person who watches; NO_COLOR and CI are honored."""

    @pytest.mark.parametrize("arguments", [("audit",), ("show", "flowers", "--histogram")], ids=" ".join)
    def test_forced_colors(self, world: World, arguments: tuple[str, ...]) -> None:
        """FORCE_COLOR colors what goes into a pipe, and NO_COLOR is stronger."""
        digits = world.root / "home" / "digits" / "train-images"
        digits.write_bytes(b"!" + digits.read_bytes()[1:])

        plain, forced = run(*arguments).stdout, run(*arguments, FORCE_COLOR="1", TERM="xterm-256color").stdout
        neither = run(*arguments, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color").stdout

        assert "\x1b[" in forced
        assert "\x1b[3" not in plain + neither

    def test_what_differs_is_red(self, world: World) -> None:
        """And with NO_COLOR it is not."""
        world.flip(world.file("talk/talk.txt"))
        seen, code = on_a_terminal("audit", NO_COLOR="", CI="")
        plain, _ = on_a_terminal("audit", NO_COLOR="1", CI="")

        assert code == 1
        assert "\x1b[31mmismatch" in seen
        assert "\x1b[3" not in plain
        assert "\x1b[1m" not in plain

    def test_the_packaged_list_fits_the_usual_one(self) -> None:
        """Each line of it in 80 columns."""
        seen, _ = on_a_terminal("list", COLUMNS="80")

        assert max(len(click.unstyle(line)) for line in seen.splitlines()) <= 80
        assert "on disk" in seen

    @pytest.mark.parametrize("columns", ["40", pytest.param("80", marks=pytest.mark.slow)])
    def test_a_narrow_one_cuts_no_name(self, world: World, columns: str) -> None:
        """Splits go below each other; what is wider still goes on in the next line."""
        seen, code = on_a_terminal("list", COLUMNS=columns)

        assert code == 0
        for word in ("flowers", "shipped", "csv", "float32 2", "train", "test", "on disk", "all"):
            assert word in seen
        assert "\u2026" not in seen

    def test_one_without_blocks_gets_ink(self, world: World) -> None:
        """What it cannot write is not written: pictures are drawn as in a pipe."""
        seen, code = on_a_terminal("show", "digits", "--home", str(world.root / "home"), PYTHONIOENCODING="latin-1")

        assert code == 0
        assert "2580" not in seen
        assert " ....  ....  ...." in seen

    def test_hashing_has_a_bar(self, world: World) -> None:
        """Which fills up to the end, and which a machine's terminal has not."""
        seen, _ = on_a_terminal("audit", CI="")
        machine, _ = on_a_terminal("audit", CI="true")

        assert "hashing \x1b" in seen
        assert "100%" in seen
        assert "━" in seen
        assert "━" not in machine

    def test_ci_gets_plain_lines_of_downloads(self, world: World, tmp_path: Path) -> None:
        """Even where it pretends to be a terminal."""
        (tmp_path / "usb").mkdir()
        world.file("digits/train-images").parent.rename(tmp_path / "usb" / "digits")
        seen, code = on_a_terminal("get", "digits", "--mirror", str(tmp_path / "usb"), CI="true")

        assert code == 0
        assert "test-images: fetching 112 B\r\n" in seen
        assert "%" not in seen


def test_a_summary_that_cannot_be_written_is_a_wrong_call(world: World, tmp_path: Path) -> None:
    """No data differs because of it."""
    page = str(tmp_path / "nowhere" / "page.md")
    result = CliRunner().invoke(main, ["audit", "--github"], env={"GITHUB_STEP_SUMMARY": page})

    assert result.exit_code == 2
    assert result.stderr == (
        f"error: {page} cannot be written: No such file or directory\n"
        "  Let GITHUB_STEP_SUMMARY name a file that can be written to.\n"
    )


class TestErrors:
    """No error of the library ever shows a traceback."""

    def test_every_kind_of_error_is_one_message(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each class of errors.py, raised from within a command: its words, and exit 1, 2 or 3."""

        path = Path("x")
        raised = [
            errors.DatasetError("a", where="m:1", hint="b"),
            errors.ManifestError(path, [errors.Problem(1, "k", "w")]),
            errors.LockError("l", path=path),
            errors.UsageError("u"),
            errors.MissingLibrary("f", "l", "e"),
            errors.UnknownName("a", ["b"]),
            errors.FetchError("f", file="f", tried=()),
            errors.OfflineError("o", file="f", tried=(), missing=()),
            errors.NetworkSettingsError("n", file="f", tried=(), variable="HTTP_PROXY"),
            errors.StorageError("s", path=path),
            errors.VerifyError("v", path=path),
            errors.MissingFile("m", path=path),
            errors.ChangedFile("c", path=path),
            errors.HashMismatch("h", path=path, expected=1, actual=2),
            errors.DecodeError(path, "d"),
            errors.UnsafePickle(path, "u", names=()),
            errors.ContentError(path, "c", aspect="shape", expected=1, actual=2),
        ]
        kinds = [
            value
            for value in vars(errors).values()
            if isinstance(value, type) and issubclass(value, errors.DatasetError)
        ]
        assert {type(error) for error in raised} == set(kinds), "a new class of errors belongs into this list"
        for error in raised:

            def refuse(*_: object, error: errors.DatasetError = error, **options: object) -> None:
                raise error

            monkeypatch.setattr("tinytorch_datasets.api.load_manifest", refuse)
            result = CliRunner().invoke(main, ["info", "mnist"])
            name = type(error).__name__
            misused = name in {"ManifestError", "LockError", "MissingLibrary", "UsageError", "UnknownName"}
            code = 2 if misused else 3 if name in {"OfflineError", "NetworkSettingsError"} else 1
            assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"error: {error}\n")

    def test_a_report_that_cannot_be_written(self, world: World) -> None:
        """The path, and why; exit 2, for no data differs."""
        result = CliRunner().invoke(main, ["audit", "--junit", str(world.manifest / "x.xml")])

        assert result.exit_code == 2
        assert result.stderr.startswith(
            f"error: {world.manifest} cannot be written: a file is in the way of a folder\n"
        )
        assert result.stderr.endswith("  Name a place that can be written to.\n")

    def test_an_interrupt_says_that_nothing_is_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Exit 130, as shells expect."""

        def interrupt(*args: object, **options: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("tinytorch_datasets.api.load_manifest", interrupt)
        result = CliRunner().invoke(main, ["info", "mnist"])

        assert (result.exit_code, result.stderr) == (
            130, "\ninterrupted; what was downloaded is kept; the same command resumes\n")  # fmt: skip


def test_the_package_is_the_command() -> None:
    """`python -m tinytorch_datasets` has the name that people type."""
    result = run("--version")

    assert re.fullmatch(r"tinytorch-datasets, version [0-9][^\n]*\n", result.stdout)
    assert run("--help").stdout.startswith("Usage: tinytorch-datasets [OPTIONS] COMMAND [ARGS]...\n")


def test_help_is_light() -> None:
    """A person who asks for help waits for no array library."""
    code = "import sys, tinytorch_datasets.cli; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"numpy", "pydantic", "requests", "rich", "yaml"} & set(result)


@pytest.mark.parametrize("arguments", ["list", "list --all", "list --json", "path tinydigits", "get tinydigits"])
def test_the_packaged_manifest_is_not_read_as_yaml(arguments: str) -> None:
    """It is compiled, so these commands wait for neither YAML nor Pydantic, and in a pipe for no tables.

    For NumPy waits who is given arrays, and nobody else: `get` only where something has to be decoded.
    """
    if arguments.startswith("get"):
        get("tinydigits")  # what was never asked for has no cache entry, and is verified first
    code = f"import sys; sys.argv[1:] = {arguments.split()}\nfrom tinytorch_datasets.cli import main\n"
    code += "try: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert "json" in result.stderr.split()
    assert not {"numpy", "pydantic", "requests", "rich", "yaml", "tinytorch_datasets.pipeline"} & set(
        result.stderr.split()
    )


def test_a_list_in_a_pipe_is_the_table_of_a_wide_terminal(world: World) -> None:
    """Line by line, though no library of tables draws it."""
    piped = run("list").stdout
    drawn, _ = on_a_terminal("list", COLUMNS="300", NO_COLOR="1")

    assert [line.rstrip() for line in drawn.splitlines()] == piped.splitlines()
    assert len(piped.splitlines()) == 4


def test_list_and_path_and_clean(world: World) -> None:
    """What is on disk is reported; `clean` frees downloads and arrays, never what ships."""
    rows = json.loads(CliRunner().invoke(main, ["list", "--json"]).stdout)
    path = CliRunner().invoke(main, ["path", "digits"])
    freed = CliRunner().invoke(main, ["clean", "--yes"])
    after = json.loads(CliRunner().invoke(main, ["list", "--json"]).stdout)

    assert [(row["name"], row["on_disk"]) for row in rows] == [("flowers", "all"), ("talk", "all"), ("digits", "all")]
    assert (path.stdout, path.stderr) == (f"{world.root / 'home' / 'digits'}\n", "")
    assert [line.partition(":")[0] for line in freed.stdout.splitlines()] == ["flowers", "talk", "digits"]
    assert [(row["name"], row["on_disk"]) for row in after] == [("flowers", "all"), ("talk", "all"), ("digits", "none")]
    assert not list((world.root / "home" / ".cache").rglob("*.npy"))
    missing = CliRunner().invoke(main, ["path", "digits"])
    assert missing.stderr == "on disk: none; `tinytorch-datasets get digits` downloads it\n"


def test_a_manifest_without_data_sets_is_not_reported_as_matching(tmp_path: Path) -> None:
    """Nothing was compared, and the last line says why."""
    (tmp_path / "m.yaml").write_text("version: 1\ndatasets: {}\n")
    done = CliRunner().invoke(main, ["audit", "--manifest", str(tmp_path / "m.yaml"), "--home", str(tmp_path)])

    assert (done.exit_code, done.stdout.strip()) == (0, f"{tmp_path}/m.yaml declares no data set.")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("digits",), "1 data set not downloaded"),
        (("digits", "talk", "--only", "cached"), "1 data set not downloaded, 1 data set not checked"),
        (("talk", "--only", "manifest"), "1 data set not checked"),
    ],
)
def test_nothing_that_was_not_compared_is_reported_as_matching(
    world: World, arguments: tuple[str, ...], why: str
) -> None:
    """Where no file was hashed, the last line says so; what was never downloaded is still no fault."""
    shutil.rmtree(world.root / "home")
    done = CliRunner().invoke(main, ["audit", *arguments])

    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == f"No file was compared with {world.manifest}: {why}."


class TestClean:
    """It removes what can be downloaded again, and asks before it removes everything."""

    def test_without_a_name_it_needs_yes(self, world: World) -> None:
        """In a script nobody can be asked: exit 2, and nothing is gone."""
        result = CliRunner().invoke(main, ["clean"])

        assert (result.exit_code, result.stdout) == (2, "")
        assert "name some, or pass --yes or --dry-run" in result.stderr
        assert len(list((world.root / "home/digits").iterdir())) == 4

    @pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 4), ("y", 0, 0)])
    def test_without_a_name_it_asks_on_a_terminal(self, world: World, answer: str, code: int, left: int) -> None:
        """With the bytes that would be freed; whoever answers no loses nothing."""
        result, exit_code = on_a_terminal("clean", typed=f"{answer}\n")

        assert "Remove downloads and decoded arrays of every data set (" in result
        assert (exit_code, len(list((world.root / "home/digits").iterdir()))) == (code, left)

    def test_a_dry_run_removes_nothing(self, world: World) -> None:
        """And reports the bytes that `clean` then frees."""
        would = json.loads(CliRunner().invoke(main, ["clean", "--dry-run", "--json"]).stdout)
        assert len(list((world.root / "home/digits").iterdir())) == 4
        did = json.loads(CliRunner().invoke(main, ["clean", "--yes", "--json"]).stdout)

        assert would == did
        assert did[2]["bytes"] > 354  # the four files, as the audit counts them, and the arrays

    def test_a_file_of_another_content_is_kept(self, world: World) -> None:
        """Somebody put it there, or worked on it: no mirror has it."""
        own = world.file("digits/test-labels")
        own.write_bytes(b"my own labels")
        result = CliRunner().invoke(main, ["clean", "digits", "--json"])

        assert own.read_bytes() == b"my own labels"
        assert [path.name for path in own.parent.iterdir()] == ["test-labels"]
        assert result.stderr == f"kept: {own}, which could not be downloaded again\n"
        assert json.loads(result.stdout)[0]["kept"] == [str(own)]

    @pytest.mark.parametrize("planted", ["digits", ".cache/entries", ".cache/arrays"])
    def test_nothing_is_removed_through_a_symlink(self, world: World, planted: str, tmp_path: Path) -> None:
        """Where `get` writes through none, `clean` deletes through none."""
        folder = world.root / "home" / planted
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
        before = sorted(tmp_path.rglob("elsewhere/**/*"))
        result = CliRunner().invoke(main, ["clean", "digits"])

        assert result.exit_code == 1
        assert result.stderr.startswith(f"error: {folder}: this is a symbolic link")
        assert sorted(tmp_path.rglob("elsewhere/**/*")) == before


class TestHints:
    """What a message says to type works as it is: with the options that were given."""

    def test_options_are_repeated(self, world: World, tmp_path: Path) -> None:
        """Quoted as a shell wants them; where none was given, none is added."""
        home = tmp_path / "my data"
        result = CliRunner().invoke(main, ["path", "digits", "--home", str(home), "--manifest", str(world.manifest)])
        bare = CliRunner().invoke(main, ["path", "digits"], env={"TINYTORCH_DATASETS_HOME": str(home)})

        options = f" --manifest {world.manifest} --home '{home}'"
        assert result.stderr == f"on disk: none; `tinytorch-datasets get digits{options}` downloads it\n"
        assert bare.stderr == "on disk: none; `tinytorch-datasets get digits` downloads it\n"

    def test_in_findings_too(self, world: World) -> None:
        """A changed file of one's own may have been changed on purpose."""
        world.flip(world.file("talk/talk.txt"))
        _, result = world.audit("talk")

        update = f"`tinytorch-datasets update talk --manifest {world.manifest}`"
        assert result["findings"][0]["hint"].endswith(f"If the change was meant, {update} writes the new hash.")


@pytest.mark.skipif(os.name == "nt", reason="there, every name has a home folder beside one's own")
class TestNamesOfArguments:
    """A message of the library names its arguments, and one of a command what is typed for them."""

    def test_a_lock_that_is_nobodys(self, world: World) -> None:
        """At the command line the option, in a program the argument."""
        lock = "~nobody-of-this-name/x"
        with pytest.raises(errors.UsageError) as caught:
            audit(manifest=world.manifest, lock=lock)
        typed = CliRunner().invoke(main, ["audit", "--lock", lock])

        unknown = f"is {lock}, and nobody knows a home folder for ~nobody-of-this-name\n"
        assert str(caught.value) == f"lock {unknown}  Write the path from the root on."
        assert (typed.exit_code, typed.stderr) == (2, f"error: --lock {unknown}  Write the path from the root on.\n")

    @pytest.mark.parametrize(
        "command",
        ["lock --output=", "export talk --as csv --output=", "mirror ", "catalog ", "init ", "audit --junit="],
    )
    def test_a_path_that_the_shell_left_as_it_is(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
    ) -> None:
        """Behind an equals sign: it leads to the home folder, and somebody whom nobody knows is an error."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path / "ada"))
        monkeypatch.setenv("USERPROFILE", str(tmp_path / "ada"))
        (tmp_path / "ada").mkdir()
        unknown = CliRunner().invoke(main, f"{command}~nobody-of-this-name/x".split())
        known = CliRunner().invoke(main, f"{command}~/x".split())

        assert (unknown.exit_code, known.exit_code) == (2, 0), known.output
        assert "and nobody knows a home folder for ~nobody-of-this-name" in unknown.stderr
        assert (tmp_path / "ada" / "x").exists()
        assert not list(tmp_path.glob("~*"))

    def test_files_to_add_that_are_nobodys(self, world: World) -> None:
        """An error, and no column either."""
        result = CliRunner().invoke(main, ["add", "~nobody-of-this-name/x.csv", "--ship"])

        assert (result.exit_code, result.stderr) == (
            2,
            "error: the path is ~nobody-of-this-name/x.csv, and nobody knows a home folder for ~nobody-of-this-name\n"
            "  Write the path from the root on.\n",
        )

    def test_what_was_not_given_as_an_option(self, world: World) -> None:
        """Of a variable, its name; of a file to look at, the name of the argument."""
        for command in (["path", "digits"], ["audit"]):
            result = CliRunner().invoke(main, command, env={"TINYTORCH_DATASETS_HOME": "ftp://host/home"})
            assert result.stderr.startswith("error: TINYTORCH_DATASETS_HOME is an address of ftp://, where a path is")


class TestTheNetworksFault:
    """Exit 3, by `get` as by `audit`: nothing is known of the data."""

    def test_no_network(self, world: World) -> None:
        """Two mirrors whose names no resolver knows."""
        world.file("digits/test-labels").unlink()
        result = CliRunner().invoke(main, ["get", "digits"])

        assert result.exit_code == 3, result.stderr
        assert "could not be downloaded from any of 2 mirrors" in result.stderr

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("HTTPS_PROXY", "http://[::1"),
            ("ALL_PROXY", "socks5h://127.0.0.1:9"),
            ("REQUESTS_CA_BUNDLE", "/no/such.pem"),
        ],
    )
    def test_a_setting_of_the_environment_that_cannot_be_used(self, world: World, variable: str, value: str) -> None:
        """`get` and `audit --remote` name the variable, and exit 3; no address is blamed."""
        world.file("digits/test-labels").unlink()
        got = run("get", "digits", **{variable: value})
        audited = run("audit", "digits", "--remote", **{variable: value})

        assert (got.returncode, audited.returncode) == (3, 3), (got.stderr, audited.stdout)
        assert variable in got.stderr
        assert variable in audited.stdout

    def test_offline(self, world: World) -> None:
        """What is missing would have to be downloaded."""
        world.file("digits/test-labels").unlink()

        assert CliRunner().invoke(main, ["get", "digits", "--offline"]).exit_code == 3

    def test_add_without_a_network(self, world: World) -> None:
        """As `get` and `audit`: exit 3, and nothing is written."""
        before = world.manifest.read_bytes()
        result = CliRunner().invoke(main, ["add", "https://nowhere.invalid/flowers.csv"])

        assert (result.exit_code, result.stdout) == (3, "")
        assert "its host name cannot be found (is there a network?)\n  Connect to a network" in result.stderr
        assert world.manifest.read_bytes() == before

    def test_offline_with_a_wrong_file_on_the_stick(self, world: World, tmp_path: Path) -> None:
        """Something was compared, and differs: exit 1, with what was found where."""
        (tmp_path / "stick").mkdir()
        world.file("digits/test-labels").rename(tmp_path / "stick" / "test-labels")
        world.flip(tmp_path / "stick" / "test-labels")
        result = CliRunner().invoke(main, ["get", "digits", "--offline", "--mirror", str(tmp_path / "stick")])

        assert result.exit_code == 1
        assert f"{tmp_path}/stick/test-labels: sends other bytes than the declared ones" in result.stderr

    def test_a_mirror_that_refuses_is_no_fault_of_the_network(
        self, world: World, server: FaultyServer, tmp_path: Path
    ) -> None:
        """404 is an answer: exit 1."""
        world.edit("https://mirror.invalid/\n", f"{server.url}/none/\n")
        world.edit("      - https://mirror.invalid/digits/\n", "")
        world.file("digits/test-labels").unlink()

        assert CliRunner().invoke(main, ["get", "digits"]).exit_code == 1


def test_clean_never_removes_a_file_among_what_ships(world: World) -> None:
    """Even where the shipped data is in the folder of downloads, and an entry to be fetched names the same file."""
    shipped = world.root / "datasets"
    shutil.copytree(world.root / "home" / "digits", shipped / "digits")
    text = world.manifest.read_text()
    talk = text[text.index("  talk:") : text.index("  digits:")].replace("  talk:", "  talks:\n    folder: talk")
    talk = talk.replace("status: shipped", "status: remote").replace("    license:", "    mirrors: [URL]\n    license:")
    world.manifest.write_text(text + "\n" + talk.replace("URL", '"https://mirror.invalid/"'))
    home = {"TINYTORCH_DATASETS_HOME": str(shipped)}
    freed = CliRunner().invoke(main, ["clean", "digits", "talks", "--json"], env=home)

    assert freed.exit_code == 0, freed.stderr
    assert (shipped / "talk" / "talk.txt").exists()
    assert list((shipped / "digits").iterdir()) == []
    assert not (shipped / ".cache" / "stat" / "digits.json").exists()


def test_home_is_where_downloads_go(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For that command, as if the variable were set, which is as it was afterwards."""
    monkeypatch.setenv("TINYTORCH_DATASETS_HOME", str(tmp_path / "never"))
    home = tmp_path / "my data"
    got = CliRunner().invoke(main, ["get", "digits", "--home", str(home), "--mirror", str(world.root / "home")])
    audited = CliRunner().invoke(main, ["audit", "--only", "cached", "--home", str(home), "--json"])

    assert (got.exit_code, audited.exit_code) == (0, 0)
    assert got.stdout == f"digits: train 12, test 6; {home}/digits\n"
    assert [one["state"] for one in json.loads(audited.stdout)["datasets"] if one["name"] == "digits"] == ["ok"]
    assert os.environ["TINYTORCH_DATASETS_HOME"] == str(tmp_path / "never")
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("tinytorch-datasets get f", "flowers"),
        ("tinytorch-datasets audit talk d", "digits"),
        ("tinytorch-datasets show ", "flowers talk digits"),
        ("tinytorch-datasets aud", "audit"),
    ],
)
def test_the_shell_completes_commands_and_names(world: World, typed: str, offered: str) -> None:
    """As docs/cli.md has it; asked as bash asks, by words and the place of the one that is typed."""
    words = typed.split(" ")
    asked = {"_TINYTORCH_DATASETS_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    result = run(**asked)

    assert (result.stdout.split(), result.stderr) == ([f"plain,{name}" for name in offered.split()], "")


def test_no_names_are_offered_of_a_bad_manifest(world: World) -> None:
    """And no word is said amid what is being typed."""
    world.manifest.write_text("datasets: [")
    asked = {"_TINYTORCH_DATASETS_COMPLETE": "bash_complete", "COMP_WORDS": "x get ", "COMP_CWORD": "2"}
    result = run(**asked)

    assert (result.stdout.split(), result.stderr) == ([], "")


class TestAWrongOption:
    """A value of the entry that does not fit the file is reported with its own line, by every command."""

    @pytest.mark.parametrize("command", [("get", "flowers"), ("audit", "flowers"), ("lock", "flowers", "-o", "-")])
    @pytest.mark.parametrize(
        ("options", "wrong", "reason"),
        [
            ("delimiter: ','\n      columns:\n        labels: nosuch", "labels: nosuch", "has no column 'nosuch'"),
            ("columns:\n        features: [0, 9]\n        labels: kind", "features: [0, 9]", "column 9 by the option"),
            ("columns: {labels: kind}\n      header: false", "columns: {", "without a header columns have no names"),
        ],
        ids=["a name", "a number", "without a header"],
    )
    def test_of_a_column(self, world: World, command: tuple[str, ...], options: str, wrong: str, reason: str) -> None:
        """The line is that of the option's value for the field, not of the data set."""
        world.edit("    options: {columns: {labels: kind}}", f"    options:\n      {options}")
        result = CliRunner().invoke(main, list(command))
        shown = result.stdout + result.stderr

        assert result.exit_code == 1
        assert reason in shown
        line = world.line(wrong)
        assert (f"declared at datasets.yaml:{line}\n" if command[0] != "audit" else f"datasets.yaml:{line}: ") in shown


def test_axes_that_differ_are_shown_as_the_manifest_writes_them(tmp_path: Path) -> None:
    """As null: a reader looks the word up there."""
    entry = """
        format: npy
        fields: {sounds: {dtype: int64, shape: [null, 2]}}
        splits: {train: {samples: 1, sounds: sounds.npy}}
        """
    path = declare(tmp_path, entry, sounds_npy=npy(np.zeros((1, 3, 2), np.int64)))
    assert " int64 nullx2 " in run("list", "--manifest", str(path)).stdout
    assert "sounds: int64 [null, 2]" in run("info", "made", "--manifest", str(path)).stdout
