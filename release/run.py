#!/usr/bin/env python3
"""All that a release does but the upload: `python release/run.py [--quick] [--only STEP] [--publish] [--keep FOLDER]`.

It needs the extra `release`. Each step is a function; what it finds wrong ends the run with a sentence.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import http.server
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "tinytorch-datasets"
PLACEHOLDER = "OWNER"
CHANGELOG_LINE = re.compile(r"^- .", re.MULTILINE)

# Which Python, which versions of the dependencies, and what is installed.
Row = tuple[str, str, str]
EVERY_ROW: list[Row] = list(itertools.product(("3.10", "3.13"), ("lowest", "newest"), ("wheel", "sdist")))
QUICK_ROWS: list[Row] = [("3.10", "lowest", "wheel"), ("3.13", "newest", "sdist")]
QUICK_TESTS = [
    f"tests/{name}.py" for name in ("test_conformance", "test_tinydigits", "test_tinytalks", "readers/test_arrays")
]
# The wheel is tested without the folder of its sources beside the tests, so those that read sources do not run.
WHEEL_TESTS = ["tests/readers", "tests/storage", "tests/verify", "tests/manifest", "tests/formats", *QUICK_TESTS[:3]]


def version_of(root: Path) -> str:
    """Return the version that the package says it has."""
    code = (root / "tinytorch_datasets" / "_version.py").read_text()
    return re.findall(r'^VERSION = "([^"]+)"', code, re.MULTILINE)[0]


def section_of(changelog: str, title: str) -> str:
    """Return what the changelog has below a title; "" if it has none."""
    parts = re.split(r"^## (.*)$", changelog, flags=re.MULTILINE)
    sections = {head.split(" ")[0]: body for head, body in zip(parts[1::2], parts[2::2], strict=True)}
    return sections.get(title, "")


def check(root: Path, tags: list[str], *, publish: bool) -> list[str]:
    """Return what keeps this from being released; a dry run of what has no tag is about what is unreleased."""
    version = version_of(root)
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    titles = [version] if tags or publish else [version, "Unreleased"]
    wrong = [f"the tag {tag} is not v{version}, the version in _version.py" for tag in tags if tag != f"v{version}"]
    if publish and not tags:
        wrong.append("no tag names this version")
    if not any(CHANGELOG_LINE.search(section_of(changelog, title)) for title in titles):
        wrong.append(f"CHANGELOG.md has no section for {' or '.join(titles)} with a line in it")
    if f"\nversion: {version}\n" not in (root / "CITATION.cff").read_text(encoding="utf-8"):
        wrong.append(f"CITATION.cff is not of version {version}")
    if publish and (root / "release" / "owner").read_text().strip() == PLACEHOLDER:
        wrong.append("the owner is not set: python release/set_owner.py NAME")
    return wrong


def tags_of(root: Path) -> list[str]:
    """Return the tags of this commit that name versions."""
    done = run("git", "tag", "--points-at", "HEAD", cwd=root)
    return [tag for tag in done.stdout.split() if re.fullmatch(r"v\d.*", tag)]


def build(root: Path, folder: Path) -> list[Path]:
    """Build sdist and wheel twice, elsewhere, at other times, with other rights and locales; both must be equal."""
    epoch = run("git", "log", "-1", "--format=%ct", cwd=root).stdout.strip()
    results: list[dict[str, bytes]] = []
    for number, (mask, locale) in enumerate(((0o022, "C"), (0o077, "C.UTF-8"))):
        source, dist = folder / f"source-{number}" / ("deep/er" * number), folder / ("dist" if not number else "again")
        source.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=root, capture_output=True, check=True).stdout
        subprocess.run(["tar", "--extract", "--no-same-permissions"], cwd=source, input=archive, check=True, umask=mask)
        later = time.time() - 10_000_000 * number
        for path in source.rglob("*"):
            os.utime(path, (later, later))
        environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch, "TZ": f"UTC{number * 5:+}", "LC_ALL": locale}
        environment |= {"PIP_CONSTRAINT": str(ROOT / "release" / "constraints.txt")}
        command = [sys.executable, "-m", "build", "--outdir", str(dist), str(source)]
        done = subprocess.run(command, env=environment, umask=mask, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
        results.append({path.name: path.read_bytes() for path in dist.iterdir()})
    if results[0] != results[1]:
        sys.exit(f"two builds differ: {sorted(n for n in results[0] if results[0][n] != results[1].get(n))}")
    built = sorted((folder / "dist").iterdir())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in built]
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    print("built twice, the same bytes:", *sums, sep="\n  ")
    return built


def run(
    *command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, which must end well; what it says is shown only if it does not."""
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"$ {' '.join(map(str, command))}\n{done.stdout[-6000:]}{done.stderr[-3000:]}")
    return done


@contextlib.contextmanager
def local_index(built: list[Path], folder: Path) -> Iterator[str]:
    """Serve the built files as an index of packages does, on this computer alone."""
    page = folder / "index" / "simple" / NAME / "index.html"
    page.parent.mkdir(parents=True)
    for path in built:
        shutil.copy(path, page.parent)
    links = (f'<a href="{p.name}#sha256={hashlib.sha256(p.read_bytes()).hexdigest()}">{p.name}</a>' for p in built)
    page.write_text("<!DOCTYPE html>\n" + "\n".join(links) + "\n")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder / "index"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple/"
        server.shutdown()


def python_of(version: str) -> str | None:
    """Return the Python of that version on this machine, if there is one."""
    candidates = [f"python{version}", *map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")))]
    for candidate in candidates:
        with contextlib.suppress(OSError):
            said = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False).stdout
            if said.startswith(f"Python {version}."):
                return candidate
    return None


def uv() -> str:
    """Return the path of uv, which the extra `release` installed beside this Python."""
    beside = Path(sys.executable).with_name("uv")
    return (
        str(beside) if beside.exists() else shutil.which("uv") or sys.exit("uv is missing: the extra `release` has it")
    )


def try_row(row: Row, built: list[Path], index: str, folder: Path, *, quick: bool) -> str:
    """Install what was built from the index into a clean environment, and run its tests there; say how it went."""
    python, versions, kind = row
    executable = python_of(python)
    if executable is None:
        if os.environ.get("CI"):
            sys.exit(f"there is no Python {python}")
        return f"skipped: there is no Python {python} here"
    here = folder / f"{python}-{versions}-{kind}"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"UV_NO_PROGRESS": "1"}
    sdist = next(path for path in built if path.suffix == ".gz")
    here.mkdir()
    run("tar", "-xzf", sdist, "-C", here, "--strip-components=1")
    venv = here / ".venv"
    run(uv(), "venv", "--python", executable, venv)
    resolution = "lowest-direct" if versions == "lowest" else "highest"
    pins = folder / f"{python}-{versions}.txt"
    compiled = ("pip", "compile", here / "pyproject.toml", "--extra", "test", "--resolution", resolution)
    run(uv(), *compiled, "--python-version", python, "-o", pins)
    install = (uv(), "pip", "install", "--python", venv / "bin" / "python")
    run(*install, "-r", pins)
    which = ("--no-binary", NAME) if kind == "sdist" else ("--only-binary", NAME)
    name = f"{NAME}=={version_of(ROOT)}"
    run(*install, "--no-deps", "--index", index, "--refresh-package", NAME, *which, name)
    if kind == "wheel":
        shutil.rmtree(here / "tinytorch_datasets")
    smoke = "from tinytorch_datasets import get; print(get('tinydigits').train.images.shape)"
    run(venv / "bin" / "python", "-c", smoke, cwd=folder, env=environment)
    run(venv / "bin" / "tinytorch-datasets", "audit", cwd=folder, env=environment | {"TINYTORCH_DATASETS_OFFLINE": "1"})
    tests = QUICK_TESTS if quick else WHEEL_TESTS if kind == "wheel" else ["-n", "auto"]
    done = run(
        venv / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=here, env=environment
    )
    return done.stdout.strip().splitlines()[-1]


def sbom(index: str, folder: Path) -> Path:
    """Install the wheel alone, and list what came with it, in CycloneDX."""
    venv, path = folder / "bare", folder / "sbom.json"
    run(uv(), "venv", "--python", sys.executable, venv)
    name = f"{NAME}=={version_of(ROOT)}"
    run(uv(), "pip", "install", "--python", venv / "bin" / "python", "--index", index, "--only-binary", NAME, name)
    options = ("--pyproject", ROOT / "pyproject.toml", "--output-reproducible", "--of", "JSON", "-o", path)
    run(sys.executable, "-m", "cyclonedx_py", "environment", *options, venv / "bin" / "python")
    listed = {component["name"].lower() for component in json.loads(path.read_text())["components"]}
    if missing := {"numpy", "pooch", "pydantic", "requests"} - listed:
        sys.exit(f"the SBOM lacks {sorted(missing)}")
    print(f"SBOM: {len(listed)} components")
    return path


def main() -> None:
    """Do the steps one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two environments, and few of the tests")
    parser.add_argument("--only", choices=["check", "build", "sbom"], help="end after this step")
    parser.add_argument("--row", help="one environment alone: 3.10,lowest,wheel")
    parser.add_argument("--publish", action="store_true", help="check as for a release: its tag, section and owner")
    parser.add_argument("--keep", type=Path, help="where the built files stay")
    asked = parser.parse_args()
    wrong = check(ROOT, tags_of(ROOT), publish=asked.publish)
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"version {version_of(ROOT)}, with a section in the changelog")
    if asked.only == "check":
        return
    with contextlib.ExitStack() as stack:
        folder = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="release-")))
        folder.mkdir(parents=True, exist_ok=True)
        built = build(ROOT, folder)
        run(sys.executable, "-m", "twine", "check", "--strict", *built)
        print("twine check --strict: passed")
        if asked.only == "build":
            return
        index = stack.enter_context(local_index(built, folder))
        sbom(index, folder)
        if asked.only == "sbom":
            return
        rows: list[Row] = QUICK_ROWS if asked.quick else EVERY_ROW
        if asked.row:
            rows = [row for row in EVERY_ROW if ",".join(row) == asked.row]
        for row in rows:
            began = time.monotonic()
            result = try_row(row, built, index, folder, quick=asked.quick)
            print(f"{' '.join(row)}: {result} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
