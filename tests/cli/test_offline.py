"""Offline no command opens a socket: by the variable, and by the option of those that have one."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

import pytest

from tests.helpers.audit_world import World
from tests.helpers.fresh_process import python
from tinytorch_datasets import settings
from tinytorch_datasets.cli import main

# Runs commands, and prints of each its exit code, what it wrote, and which addresses and programs were asked.
RUN = """
import json, sys
events = []
ASKING = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "subprocess.Popen"}
def note(event, given):
    if event in ASKING and (event != "subprocess.Popen" or "pip" in repr(given)):
        events.append([event, repr(given[1:])])
sys.addaudithook(note)
from click.testing import CliRunner
from tinytorch_datasets.cli import main
results = []
for command in json.loads(sys.argv[1]):
    events.clear()
    result = CliRunner().invoke(main, command)
    results.append([result.exit_code, result.output, list(events)])
print(json.dumps(results))
"""
NOWHERE = "http://127.0.0.1:9/class"
FORBIDDEN = f"opens sockets, and {settings.OFFLINE} forbids it"
INCLUDED = "https://127.0.0.1:9/theirs.yaml is included, and no socket may be opened"

# The commands of the package, in ways that would ask an address or a program; with exit code and what is printed.
COMMANDS: tuple[tuple[str, int, str], ...] = (
    ("list", 0, "digits"),
    ("info digits", 0, "Digits"),
    ("get digits", 3, "offline nothing is fetched"),
    (f"get digits --mirror {NOWHERE}", 3, "offline nothing is fetched"),
    ("get digits --home s3://bucket/home", 3, "offline nothing is fetched"),
    ("show digits", 3, "offline nothing is fetched"),
    ("path digits", 0, "digits"),
    ("export digits --as csv", 3, "offline nothing is fetched"),
    ("schema", 0, "$schema"),
    ("init new", 0, "new"),
    ("config", 0, "offline"),
    ("clean digits --yes", 0, ""),
    ("doctor", 0, f"no address is asked: {settings.OFFLINE} forbids it"),
    ("completion bash", 0, "complete"),
    ("audit", 0, "digits"),
    ("audit --remote", 2, f"--remote {FORBIDDEN}"),
    ("audit --deep", 2, f"--deep {FORBIDDEN}"),
    ("audit --remember", 2, f"--remember {FORBIDDEN}"),
    (f"audit --mirror {NOWHERE}", 2, f"a mirror at an address {FORBIDDEN}"),
    ("audit --mirror s3://bucket/class", 2, f"a mirror at an address {FORBIDDEN}"),
    ("lock -o new.lock", 0, "new.lock"),
    (f"add {NOWHERE}/a.csv --dry-run", 2, f"the download of {NOWHERE}/a.csv {FORBIDDEN}"),
    ("update digits --fetch", 2, f"--fetch {FORBIDDEN}"),
    ("compile --check", 0, ""),  # without it, an installed package refuses
    ("mirror usb digits", 3, "offline nothing is fetched"),
    (f"mirror usb digits --from {NOWHERE}", 3, "offline nothing is fetched"),
    ("mirror usb flowers --with-packages", 2, f"--with-packages {FORBIDDEN}"),
    ("mirror s3://bucket/class flowers", 2, f"a mirror in a store {FORBIDDEN}"),
    ("mirror gs://bucket/class flowers", 2, f"a mirror in a store {FORBIDDEN}"),
    ("catalog pages --get", 3, ""),
)


def run(world: World, commands: list[str], **variables: str) -> list[tuple[int, str, list[Any]]]:
    """Exit code, output, and what was asked, of commands that know their manifest by its variable."""
    env = {**os.environ, settings.MANIFEST: str(world.manifest), **variables}
    done = python("-c", RUN, json.dumps([command.split() for command in commands]), env=env, cwd=world.root)
    assert done.returncode == 0, done.stderr
    return [(code, output, asked) for code, output, asked in json.loads(done.stdout)]


@pytest.fixture
def empty(world: World) -> World:
    """The world, with nothing downloaded."""
    shutil.rmtree(world.root / "home")
    return world


def test_the_variable_holds_for_every_command(empty: World) -> None:
    """Each that needs a socket is refused in a sentence, or says what is missing; a new command has a row here."""
    assert {command.split()[0] for command, _, _ in COMMANDS} == set(main.commands)
    results = run(empty, [command for command, _, _ in COMMANDS], **{settings.OFFLINE: "1", settings.MIRROR: NOWHERE})

    for (command, code, words), (exit_code, output, asked) in zip(COMMANDS, results, strict=True):
        assert (command, asked) == (command, [])
        assert (command, exit_code) == (command, code), output
        assert words in output


@pytest.mark.slow
def test_the_same_commands_ask_without_it(empty: World) -> None:
    """Or they would be no test: those that are refused, ask somebody."""
    refused = [command for command, code, _ in COMMANDS if code and not command.startswith("mirror usb flowers")]
    refused = [command for command in refused if "s3:" not in command and "gs:" not in command]
    for command, (_, _, asked) in zip(refused, run(empty, refused), strict=True):
        assert (command, bool(asked)) == (command, True)


def test_the_option_holds_for_included_manifests(world: World) -> None:
    """Of every command that has it: an included manifest that never came is not downloaded either."""
    text = world.manifest.read_text().replace(
        "version: 1\n", f"version: 1\ninclude: [{{url: https://127.0.0.1:9/theirs.yaml, sha256: '{'0' * 64}'}}]\n"
    )
    world.manifest.write_text(text)
    ways = {
        "get": "get digits --offline",
        "export": "export digits --as csv --offline",
        "doctor": "doctor --offline",
        "audit": "audit --offline",
        "mirror": "mirror usb digits --offline",
    }
    assert ways.keys() == {
        name for name, command in main.commands.items() if any("--offline" in one.opts for one in command.params)
    }
    for command, (code, output, asked) in zip(ways.values(), run(world, [*ways.values()]), strict=True):
        assert (command, asked) == (command, [])
        assert code, output
        assert INCLUDED in output
