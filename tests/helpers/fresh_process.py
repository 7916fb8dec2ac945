"""Fresh processes without the time that Python takes to start: forks of one that has imported the package, no more.

What is remembered in memory is not remembered by them, and each ends as any process does, but that the modules which
were there before it are left to the system to free; only what happens on import cannot be asked of them, nor what
Python does with an option or a variable of its own at its start.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

SECONDS = 60  # after which a process that hangs is ended

# Reads a request a line, and answers each by a line: the exit code, and the two streams. Of one that is only begun, its
# streams are given by name, and its number is the answer; then it is asked for whether that has ended, and how.
_PARENT = """
import atexit, sys
kept = []
kept.append(kept)  # a circle, of which gc.freeze makes one that is never freed
@atexit.register  # before anybody else, so it is called after them
def _leave_modules():
    # Python frees what is in each module, one by one, which takes longer than all else that most forks do.
    for name in sys.modules.keys() & IMPORTED:
        kept.append(sys.modules.pop(name))
import gc, importlib, json, os, pkgutil, signal, tempfile
orders, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
import decimal, fractions, zoneinfo
import click, filelock, numpy, pydantic, requests, rich.progress, yaml
import tinytorch_datasets
for module in pkgutil.walk_packages(tinytorch_datasets.__path__, "tinytorch_datasets."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
IMPORTED = sys.modules.keys() - {"__main__", "builtins", "sys"}
gc.freeze()
for line in iter(orders.readline, b""):
    request = json.loads(line)
    if "begun" in request:
        ended, status = os.waitpid(request["begun"], os.WNOHANG)
        os.write(answers, json.dumps(os.waitstatus_to_exitcode(status) if ended else None).encode() + b"\\n")
        continue
    given = [open(name, "wb", buffering=0) for name in request["streams"]]
    out, err = given or (tempfile.TemporaryFile(), tempfile.TemporaryFile())
    child = os.fork()
    if not child:
        break
    if given:
        out.close()
        err.close()
        os.write(answers, json.dumps(child).encode() + b"\\n")
        continue
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    streams = []
    for stream in (out, err):
        stream.seek(0)
        streams.append(stream.read().decode(errors="surrogateescape"))
        stream.close()
    os.write(answers, json.dumps([code, *streams]).encode() + b"\\n")
else:
    os._exit(0)
os.close(answers)
orders.close()
streams = [open(os.devnull), out, err]
if request["terminal"]:
    streams = [open(os.open(request["terminal"], os.O_RDWR | os.O_NOCTTY), "rb", buffering=0) for _ in range(3)]
    sys.stdout.reconfigure(line_buffering=True)
for fd, stream in enumerate(streams):
    os.dup2(stream.fileno(), fd)
    stream.close()
signal.alarm(SECONDS)
os.environ.clear()
os.environ.update(request["env"])
os.chdir(request["cwd"])
sys.argv[:] = [request["argv"][0], *request["argv"][2:]]
if request["argv"][0] == "-m":
    import runpy
    runpy.run_module(request["argv"][1], run_name="__main__", alter_sys=True)
else:
    exec(compile(request["argv"][1], "<string>", "exec"), {"__name__": "__main__"})
""".replace("SECONDS", str(SECONDS))


class Forks:
    """A process that has imported the package, begun by a command that ends in Python, and the forks of it."""

    def __init__(self, *command: str, env: Mapping[str, str] | None = None) -> None:
        # With one thread, or a fork of it might wait for a lock that a thread held which it does not have.
        self._parent = subprocess.Popen(
            [*command, "-c", _PARENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**(os.environ if env is None else env), "OPENBLAS_NUM_THREADS": "1"},
            cwd="/",
        )
        self._one_at_a_time = threading.Lock()

    def python(
        self, *arguments: str, env: Mapping[str, str], cwd: str, terminal: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `-c CODE ...` or `-m MODULE ...` as Python does. Returns the exit code and both streams.

        With the name of a terminal all three streams are on it, and none is returned.
        """
        given = {"argv": arguments, "env": dict(env), "cwd": cwd, "terminal": terminal, "streams": ()}
        code, out, err = self._answer(**given)
        return subprocess.CompletedProcess(["python", *arguments], code, out, err)

    def begin(self, *arguments: str, env: Mapping[str, str], cwd: str) -> Begun:
        """Begin the same, and do not wait for its end."""
        pipes = [os.pipe() for _ in range(2)]
        names = [f"/proc/{os.getpid()}/fd/{end}" for _, end in pipes]
        pid = self._answer(argv=arguments, env=dict(env), cwd=cwd, terminal=None, streams=names)
        for _, end in pipes:
            os.close(end)
        out, err = (os.fdopen(end, encoding="utf-8", errors="surrogateescape") for end, _ in pipes)
        return Begun(self, pid, out, err)

    def returncode(self, pid: int) -> int | None:
        """Return how one that was begun has ended, once; None until it has."""
        code: int | None = self._answer(begun=pid)
        return code

    def _answer(self, **request: Any) -> Any:
        orders, answers = self._parent.stdin, self._parent.stdout
        assert orders is not None
        assert answers is not None
        with self._one_at_a_time:
            orders.write(json.dumps(request).encode() + b"\n")
            orders.flush()
            return json.loads(answers.readline())

    def close(self) -> None:
        """End the process."""
        self._parent.communicate()


class Begun:
    """A fork that goes on beside the test, with what is asked of a `subprocess.Popen`."""

    def __init__(self, forks: Forks, pid: int, stdout: IO[str], stderr: IO[str]) -> None:
        self.pid, self.stdout, self.stderr = pid, stdout, stderr
        self.returncode: int | None = None
        self._forks = forks

    def poll(self) -> int | None:
        """Return the exit code, or None while it goes on."""
        if self.returncode is None:
            self.returncode = self._forks.returncode(self.pid)
        return self.returncode

    def wait(self, timeout: float = SECONDS) -> int:
        """Wait for its end, and return the exit code."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.002)
        return code

    def communicate(self, timeout: float = SECONDS) -> tuple[str, str]:
        """Return what is left of both streams, when it has ended."""
        streams = [stream for stream in (self.stdout, self.stderr) if not stream.closed]
        with self, ThreadPoolExecutor(2) as pool:
            left = list(pool.map(lambda stream: stream.read(), streams))
            self.wait(timeout)
        out, err = left or ("", "")
        return out, err

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Begun:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()


@functools.cache
def _forks() -> Forks:
    forks = Forks(sys.executable)
    atexit.register(forks.close)
    return forks


def python(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, terminal: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -c CODE ...` or `python -m MODULE ...` as of a shell. Returns the exit code and both streams."""
    given, place = dict(os.environ if env is None else env), str(cwd or Path.cwd())
    if hasattr(os, "fork"):
        return _forks().python(*arguments, env=given, cwd=place, terminal=terminal)
    assert terminal is None, "only systems that fork have terminals of this kind"
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=given, cwd=place, capture_output=True, text=True, check=False, timeout=SECONDS)


def begin(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Begun | subprocess.Popen[str]:
    """Begin the same and do not wait for its end; whoever begins one ends it, or waits."""
    given, place = dict(os.environ if env is None else env), str(cwd or Path.cwd())
    if hasattr(os, "fork") and os.path.exists("/proc/self/fd"):  # noqa: PTH110 (a folder of Linux)
        return _forks().begin(*arguments, env=given, cwd=place)
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *arguments], env=given, cwd=place, stdout=pipe, stderr=pipe, text=True)
