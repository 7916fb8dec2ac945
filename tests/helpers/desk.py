"""The desk at which a page is read: programs, folders, an index of packages, and every host of the world on loopback.

No page reaches another computer: whatever address its commands name, a proxy on this one answers for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import ssl
import sys
import threading
import zipfile
from collections.abc import Iterable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

import trustme
from packaging.requirements import Requirement

from tests.conftest import ROOT
from tinytorch_datasets import load_manifest, settings

# What the pages install beside this package and what it needs.
DISTRIBUTIONS = (
    *("duckdb", "jax", "keras", "pandas", "polars", "pytest", "ray", "scikit-learn", "tensorflow", "torch", "tqdm"),
)
# By which a file is known whose other bytes are zeros.
MAGIC = {".gz": b"\x1f\x8b\x08", ".tgz": b"\x1f\x8b\x08", ".zip": b"PK\x03\x04", ".npz": b"PK\x03\x04"}
ADDRESS = "192.168.1.5"  # of the instructor's computer, on every page


class Hosts:
    """A proxy that answers for each host, over TLS as well: with the files of a folder of that name, or with 404."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lengths: dict[str, int] = {}  # files of which nobody reads more than the beginning: zeros
        self.asked: list[str] = []
        self.certificates = folder.with_suffix(".pem")
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(self.certificates))
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Proxy,), {"hosts": self}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, url: str, file: Path) -> None:
        """Serve a file at an address."""
        place = self.folder / url.partition("://")[2]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file)

    def context(self, host: str) -> ssl.SSLContext:
        """Return what encrypts the connections of a host."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(host).configure_cert(context)
        return context

    def __enter__(self) -> Hosts:
        """Begin to answer."""
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Answer no longer."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Think nothing of a client that goes early."""


class _Proxy(BaseHTTPRequestHandler):
    hosts: Hosts
    protocol_version = "HTTP/1.1"
    _origin = ""

    def do_CONNECT(self) -> None:
        """Be the host from here on."""
        self.send_response(200)
        self.end_headers()
        self._origin = f"https://{self.path.removesuffix(':443')}"
        try:
            context = self.hosts.context(self.path.rpartition(":")[0])
            self.connection = context.wrap_socket(self.connection, server_side=True)
        except OSError:  # it does not trust the authority
            self.close_connection = True
            return
        self.rfile = self.connection.makefile("rb")
        self.wfile = _Writer(self.connection)
        self.close_connection = False

    def do_GET(self) -> None:
        """Send a file, or the rest of it."""
        parts = urlsplit(self._origin + self.path)
        key = f"{parts.netloc}{unquote(parts.path)}"
        self.hosts.asked.append(key)
        file = self.hosts.folder / key
        if not file.is_file() and key not in self.hosts.lengths:
            self.send_error(404)
            return
        begin = file.read_bytes() if file.is_file() else next((MAGIC[end] for end in MAGIC if key.endswith(end)), b"")
        size = len(begin) if file.is_file() else self.hosts.lengths[key]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(asked[1]), min(size, int(asked[2] or size) + 1)) if asked else (0, size)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("Last-Modified", formatdate(1_000_000_000, usegmt=True))
        self.end_headers()
        if self.command == "HEAD":
            return
        with contextlib.suppress(OSError):  # most readers of zeros go after the first
            for first in range(start, end, 1 << 16):
                last = min(end, first + (1 << 16))
                self.wfile.write(begin[first:last].ljust(last - first, b"\0"))
            return
        self.close_connection = True

    do_HEAD = do_GET

    def finish(self) -> None:
        """Close what encrypts the connection, too."""
        with contextlib.suppress(OSError):
            super().finish()
        self.connection.close()

    def log_message(self, *args: object) -> None:
        """Keep the terminal for pytest."""


class _Writer(BufferedIOBase):
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._connection.sendall(data)
        return len(data)


def index_of_packages(folder: Path, own: Path) -> Path:
    """Make an index for pip: this package's wheel, and an empty one of each that it needs or that a page installs."""
    with zipfile.ZipFile(own) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        requires = re.findall(r"^Requires-Dist: (.*)$", archive.read(metadata).decode("utf-8"), re.MULTILINE)
    needed = {Requirement(line).name: Requirement(line) for line in reversed(requires)}
    versions = {name: next((each.version for each in one.specifier), "1") for name, one in needed.items()}
    for name, version in {**dict.fromkeys(DISTRIBUTIONS, "1"), **versions}.items():
        _put_on_index(folder, name, _empty_wheel(folder, name, version))
    _put_on_index(folder, "tinytorch-datasets", own)
    return folder


def _empty_wheel(folder: Path, name: str, version: str) -> Path:
    word = re.sub(r"[-.]", "_", name)
    path, info = folder / f"{word}-{version}-py3-none-any.whl", f"{word}-{version}.dist-info"
    members = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(f"{info}/{member}", text)
    return path


def _put_on_index(folder: Path, name: str, wheel: Path) -> None:
    page = folder / re.sub(r"[-_.]+", "-", name).lower() / "index.html"
    page.parent.mkdir()
    page.write_text(f'<!DOCTYPE html><a href="{wheel.as_uri()}">{wheel.name}</a>\n', encoding="utf-8")


def programs(folder: Path) -> Path:
    """Write what an installed package and Python bring into the PATH, by the Python that runs the tests.

    A new environment has no package, and pip installs nothing here: so it sees those of the tests.
    """
    folder.mkdir(parents=True)
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    see = f'for each in "$3"/lib/python*/site-packages; do echo "{packages}" > "$each/tests.pth"; done'
    python = f'"{sys.executable}" "$@" || exit\nif [ "$1 $2" = "-m venv" ]; then {see}; fi'
    texts = {
        **dict.fromkeys(["tinytorch-datasets", "ttds"], f'exec "{sys.executable}" -m tinytorch_datasets "$@"'),
        **dict.fromkeys(["python", "python3", "py"], python),
        "pip": f'exec "{sys.executable}" -m pip "$@"',
    }
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def variables(user: Path, bin_folder: Path) -> dict[str, str]:
    """Return the environment of a reader, who has none of the variables of the person that runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not re.match("PIP_|TINYTORCH_|AWS_", name)}
    paths = bin_folder, Path(sys.executable).parent, os.environ["PATH"]
    return {
        **kept,
        "PATH": os.pathsep.join(map(str, paths)),
        "PYTHONPATH": str(ROOT),
        "HOME": str(user),
        "SHELL": "/bin/bash",
        "NO_COLOR": "1",
        settings.HOME: str(user / ".cache" / "tinytorch-datasets"),  # as of an installed package
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "jax"),
    }


def pip_variables(index: Path) -> dict[str, str]:
    """Return what makes pip do all but the last step: it finds and downloads what it would install."""
    return {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": index.as_uri(),
        "PIP_DRY_RUN": "1",
        "PIP_IGNORE_INSTALLED": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_NO_BUILD_ISOLATION": "0",  # that is how this variable switches it off: hatchling is here
    }


def clone(folder: Path) -> Path:
    """Make what a clone has of manifests and data, to be changed. Returns the manifest."""
    folder.mkdir()
    for name in ("classics.yaml", "datasets.yaml"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("datasets", "milestones"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "datasets"))
    return folder / "datasets.yaml"


def declare_small_cifar(manifest: Path, cifar: Path) -> None:
    """Write a smaller archive of CIFAR-10's form into the entry: nobody here has the real one."""
    before, name, entry = manifest.read_text(encoding="utf-8").partition("\n  cifar10:\n")
    sizes = rf"bytes: {cifar.stat().st_size}\n\g<1>sha256: {hashlib.sha256(cifar.read_bytes()).hexdigest()}"
    entry, changed = re.subn(r"bytes: \S+\n( +)sha256: \w+\n +md5: \w+", sizes, entry, count=1)
    assert changed == 1, "the entry of CIFAR-10 has another form"
    entry = entry.replace("samples: 50_000", "samples: 3_750").replace("samples: 10_000", "samples: 750")
    manifest.write_text(before + name + re.sub(r"    checks: .*\n", "", entry, count=1), encoding="utf-8")


def put_real_files(hosts: Hosts, realdata: Path, names: Iterable[str]) -> None:
    """Serve the real MNIST at its declared addresses, and zeros for every other file of the named data sets."""
    manifest = load_manifest()
    plans = [plan for name in names for plan in (manifest.plan(name), *manifest.plan(name).variants)]
    for plan in plans:
        for file, url in ((each, url) for each in plan.files for url in each.urls):
            here = realdata / "mnist" / file.name
            if plan.name == "mnist" and here.is_file():
                hosts.put(url, here)
            else:
                hosts.lengths[url.partition("://")[2]] = file.bytes
