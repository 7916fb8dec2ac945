"""What the tests share: a clean environment, the real data if it is there, and folders served over loopback."""

from __future__ import annotations

import contextlib
import csv
import functools
import gc
import importlib
import itertools
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import pytest
import yaml

from tests.helpers.audit_world import World, build, copied
from tests.helpers.faulty_server import FaultyServer
from tinytorch_datasets import settings

REALDATA = "TINYTORCH_DATASETS_REALDATA"
ROOT = Path(__file__).resolve().parent.parent
NUMBERS = itertools.count()

# Bytecode is kept, in folders that git ignores, whatever this variable says: where it is not, each of the hundreds of
# processes that the tests start compiles the package anew, and pytest all of its tests, which is a fifth of a run.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


# A file system in memory, where systems have it, and how much must be free there: far more than any fast test writes.
IN_MEMORY, ENOUGH_BYTES = Path("/dev/shm"), 2 * 2**30
OF_THIS_RUN = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Let fast tests write their files to memory, where there is room: at a disk they wait, for each file to be whole.

    Whoever sets TMPDIR has them there. Processes that the tests start inherit it.
    """
    if "not slow" not in config.option.markexpr or "TMPDIR" in os.environ:
        return
    if not IN_MEMORY.is_dir() or not os.access(IN_MEMORY, os.W_OK | os.X_OK):
        return
    about = os.statvfs(IN_MEMORY)
    if about.f_bavail * about.f_frsize >= ENOUGH_BYTES and not about.f_flag & getattr(os, "ST_NOEXEC", 0):
        folder = Path(tempfile.mkdtemp(prefix="tests-", dir=IN_MEMORY))
        folder.chmod(0o755)  # other users pass it
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        config.stash[OF_THIS_RUN] = folder


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Free the memory again, unless a test has failed, whose files are looked at."""
    if OF_THIS_RUN in session.config.stash and not session.testsfailed:
        shutil.rmtree(session.config.stash[OF_THIS_RUN], ignore_errors=True)


def hear_ctrl_c() -> None:
    """Hear SIGINT again, here and in the processes that the tests start.

    A shell ignores it for what it runs behind `&`, and Python and every child keep that. Then a test that presses
    Ctrl-C waits for all that it meant to end.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


hear_ctrl_c()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let every other worker of xdist import the tests from their end.

    Each test file is compiled by whichever comes to it first, and read by the others: not by each of them.
    """
    worker = getattr(session.config, "workerinput", {}).get("workerid", "gw0")
    if int(worker.removeprefix("gw")) % 2 and session.config.args == session.config.getini("testpaths"):
        for path in sorted((ROOT / "tests").rglob("test_*.py"), reverse=True):
            # What is wrong with a file is reported when it is collected; a module that is to be skipped says so so.
            with contextlib.suppress(Exception, pytest.skip.Exception):
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Look for examples in no test: there are none, and every function of every test would be gone through."""
    collectors = yield
    return [one for one in collectors if file_path.suffix != ".py" or type(one).__name__ != "DoctestModule"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among the tests themselves: there are ten thousand, and all of them stay until the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


# What Windows lacks, or does in another way; symbolic links ask there for a right that few people have.
POSIX_ONLY = {"mkfifo", "chmod", "fork", "symlink_to", "hardlink_to", "symlink", "geteuid", "setuid", "getuid"}
POSIX_ONLY |= {"killpg", "send_signal", "setrlimit", "getrlimit", "openpty", "uname", "umask", "listxattr"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that call what only POSIX systems have, so that those on Windows leave them out."""
    for item in items:
        code = getattr(getattr(item, "function", None), "__code__", None)
        if code is not None and not POSIX_ONLY.isdisjoint(_names_in(code)):
            item.add_marker("posix")


def _names_in(code: CodeType) -> set[str]:
    """Every name that a function uses, and those of the functions in it."""
    inner = [_names_in(const) for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*inner)


def plain_yaml(path: Path) -> Any:
    """What PyYAML makes of a file that we trust: by its parser in C, if it has it, which takes a tenth of the time."""
    return yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def plainly_unpickled(path: Path) -> Any:
    """What Python's own pickle makes of a file that we trust: the witness for our reader, on any NumPy."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            # NumPy 2 writes a module's name that NumPy 1 does not have.
            old = int(np.__version__.split(".")[0]) < 2
            return super().find_class(module.replace("numpy._core", "numpy.core") if old else module, name)

    with path.open("rb") as stream:
        return Unpickler(stream).load()


@pytest.fixture(autouse=True)
def _same_limit_of_cells() -> Iterator[None]:
    """Leave the csv module as it was: SciPy's reader of ARFF lifts the limit of a cell for the whole process."""
    before = csv.field_size_limit()
    yield
    csv.field_size_limit(before)


@pytest.fixture(scope="session")
def homes_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every test gets a home of its own; pytest's own numbered folders are counted anew for each that is made."""
    return tmp_path_factory.mktemp("homes")


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As pytest's own, for a fraction of the time: no free number is looked for, and nothing linked.

    It is removed after a test that does not fail, for it may be in memory.
    """
    failed = request.session.testsfailed
    name = re.sub(r"\W", "_", request.node.name)[:30]
    path = tmp_path_factory.getbasetemp() / f"{name}-{next(NUMBERS)}"
    path.mkdir(mode=0o700)
    yield path
    if request.session.testsfailed == failed:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(autouse=True)
def clean_environment(homes_of_tests: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the person who runs the tests steers them, and nothing is written to that person's folders."""
    ours = (settings.HOME, settings.MANIFEST, settings.MIRROR, settings.OFFLINE, settings.STANDIN)
    for name in (*ours, "KERAS_HOME", "SCIKIT_LEARN_DATA", "CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_CACHE_HOME"):
        folder = f"{homes_of_tests}/{name.lower()}{next(NUMBERS)}"
        os.mkdir(folder, 0o700)  # noqa: PTH102 (for each of ten thousand tests)
        monkeypatch.setenv(name, folder)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for downloads and decoded arrays."""
    folder = tmp_path / "home"
    monkeypatch.setenv(settings.HOME, str(folder))
    return folder


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real MNIST and CIFAR-10 files."""
    folder = os.environ.get(REALDATA)
    if not folder:
        pytest.skip(f"{REALDATA} does not name a folder with the real MNIST and CIFAR-10 files")
    return Path(folder)


@pytest.fixture(scope="session")
def full_cifar(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive in CIFAR-10's form and size, with its real labels, which takes seconds to build."""
    archive = tmp_path_factory.mktemp("realdata") / "full" / "cifar-10-python.tar.gz"
    build = [sys.executable, str(realdata / "build_cifar_like.py"), "full", "--out", str(archive)]
    subprocess.run(build, check=True, capture_output=True)
    return archive


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to open a socket fails the test."""
    import socket

    def refuse(*args: object, **kwargs: object) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


class _Quiet(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *args: object) -> None:
        """Keep the terminal for pytest."""


class Served(str):
    """The address of a folder served over loopback; `asked` is every path that was requested."""

    asked: list[str]


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Served]]:
    """Serve a folder over loopback HTTP: ``serve(folder)`` gives its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(folder: Path) -> Served:
        asked: list[str] = []
        handler = type("Handler", (_Quiet,), {"asked": asked})
        server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        address = Served(f"http://127.0.0.1:{server.server_address[1]}/")
        address.asked = asked
        return address

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """A server that misbehaves on purpose."""
    with FaultyServer() as server:
        yield server


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world as it is meant to be; nobody changes this one."""
    return build(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def world(pristine: World, tmp_path: Path) -> World:
    """A world of one's own."""
    return copied(pristine, tmp_path / "world")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The repository's manifest, comments and all, in a folder of its own; without the sixty sets that it includes.

    They would be read by each command of each test.
    """
    path = tmp_path / "clone" / "datasets.yaml"
    path.parent.mkdir()
    path.write_bytes((ROOT / "datasets.yaml").read_bytes().replace(b"\ninclude: ", b"\n# include: "))
    return path
