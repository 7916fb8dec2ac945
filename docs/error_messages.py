"""The messages of the package's errors, for errors.md: read from the code, and some as they are when they happen."""

from __future__ import annotations

import ast
import builtins
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import flowers

import tinytorch_datasets
from tinytorch_datasets import RetryPolicy, errors, get
from tinytorch_datasets.fetch import base

PACKAGE = Path(tinytorch_datasets.__file__).parent
SOURCE, SHELL = "source", "shell"
ELLIPSIS = "\u2026"  # stands for what differs from case to case
FEWEST_LETTERS = 12  # in a message of which something can be recognized


class Message(NamedTuple):
    """One message, and the hint that comes with it, or ""; what differs from case to case is an ellipsis."""

    text: str
    hint: str


def classes() -> list[type[errors.DatasetError]]:
    """Return every class of errors, each after the one that it is a kind of."""

    def below(cls: type[errors.DatasetError]) -> Iterator[type[errors.DatasetError]]:
        yield cls
        for kind in sorted(cls.__subclasses__(), key=lambda kind: list(vars(errors)).index(kind.__name__)):
            yield from below(kind)

    return list(below(errors.DatasetError))


def caught_as(cls: type[errors.DatasetError]) -> str:
    """Return Python's own class that catches such an error too, or nothing."""
    own = (base.__name__ for base in cls.__mro__ if base.__module__ == builtins.__name__)
    return next((name for name in own if name not in ("Exception", "BaseException", "object")), "")


def messages() -> dict[str, list[Message]]:
    """Return the messages of each class of errors, by the class's name, in alphabetical order.

    Under `SOURCE` is why an address gave nothing, and under `SHELL` what only the command line says.
    """
    modules = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    makers = dict(maker for module in modules.values() for maker in _makers(module))
    found: dict[str, set[Message]] = {name: set() for name in (*(cls.__name__ for cls in classes()), SOURCE, SHELL)}
    for path, module in modules.items():
        for function, node in _nodes(module):
            reader = _Reader(module, function)
            if isinstance(node, ast.Call) and (maker := makers.get(_name(node.func))):
                found[maker.makes] |= {*reader.made(node, maker)}
            elif _is_of_the_manifest(path, function, node) and (problem := _problem(node)) is not None:
                found["ManifestError"] |= {Message(text, "") for text in reader.texts(problem)}
    return {name: sorted(filter(_is_recognized, many), key=_alphabetically) for name, many in found.items()}


def _is_of_the_manifest(path: Path, function: ast.AST, node: ast.AST) -> bool:
    """Check whether problems of a manifest are found there: its own rules, and each format's check of its options."""
    is_check = isinstance(function, ast.FunctionDef) and function.name.endswith("check")
    return "manifest" in path.parts or ("formats" in path.parts and is_check and isinstance(node, ast.Yield))


class Maker(NamedTuple):
    """A class of errors, or a function that makes one: by which arguments it takes the message and the hint."""

    makes: str
    names: tuple[str, ...]
    message: str


def _makers(module: ast.Module) -> Iterator[tuple[str, Maker]]:
    """Yield what makes errors, by its name in the code."""
    names = {cls.__name__: cls.__name__ for cls in classes()}
    names |= {cls.__name__: SOURCE for cls in (base.SourceError, *_below(base.SourceError))}
    for name, makes in names.items():
        has_path = makes in names and issubclass(getattr(errors, name, object), errors.DecodeError)
        yield name, Maker(makes, ("path", "reason") if has_path else ("what",), "reason" if has_path else "what")
    yield "click.UsageError", Maker(SHELL, ("what",), "what")
    yield "click.BadParameter", Maker(SHELL, ("what",), "what")
    for _, node in _nodes(module):
        if isinstance(node, ast.FunctionDef) and isinstance(node.returns, ast.Name) and node.returns.id in names:
            taken = tuple(argument.arg for argument in node.args.args if argument.arg != "self")
            message = next((name for name in ("reason", "what") if name in taken), None)
            if message is not None:
                yield node.name, Maker(names[node.returns.id], taken, message)


def _problem(node: ast.AST) -> ast.expr | None:
    """Return the text of a problem of a manifest that a node yields, returns or refuses a value by, if it does."""
    if isinstance(node, ast.Yield | ast.Return):
        value = node.value
        if isinstance(value, ast.Tuple) and len(value.elts) == 2 and isinstance(node, ast.Yield):
            value = value.elts[1]
    elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _name(node.exc.func) == "ValueError":
        value = node.exc.args[0] if node.exc.args else None
    else:
        return None
    is_text = isinstance(value, ast.JoinedStr | ast.Name | ast.BinOp) or (
        isinstance(value, ast.Constant) and isinstance(value.value, str) and " " in value.value
    )
    return value if is_text else None


def _is_recognized(message: Message) -> bool:
    return len(re.findall(r"[a-zA-Z]", message.text)) >= FEWEST_LETTERS


def _alphabetically(message: Message) -> tuple[str, Message]:
    return re.sub(r"\W", "", message.text).casefold(), message


def _below(cls: type) -> Iterator[type]:
    for kind in cls.__subclasses__():
        yield kind
        yield from _below(kind)


def _nodes(module: ast.Module) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield each node of a module with the function that it is in, or the module."""

    def below(node: ast.AST, function: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            yield function, child
            yield from below(child, child if isinstance(child, ast.FunctionDef) else function)

    return below(module, module)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return f"click.{function.attr}" if _name(function.value) == "click" else function.attr
    return function.id if isinstance(function, ast.Name) else ""


class _Reader:
    """Reads texts in a function; a name is what was last assigned to it above, there or in the module."""

    def __init__(self, module: ast.AST, function: ast.AST) -> None:
        self._scopes = (function, module)

    def made(self, call: ast.Call, maker: Maker) -> Iterator[Message]:
        """Yield the messages of a call that makes an error."""
        given = dict(zip(maker.names, call.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        what = given.get(maker.message)
        for text in self.texts(what) if what is not None else []:
            for hint in self.texts(given["hint"]) if "hint" in given else [""]:
                yield Message(text, hint if re.search("[a-z]", hint) else "")

    def texts(self, node: ast.expr, depth: int = 0) -> list[str]:
        """Return what a text may be, with an ellipsis for what only a run knows."""
        if depth > 4:
            return [ELLIPSIS]
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else [ELLIPSIS]
        if isinstance(node, ast.JoinedStr):
            parts = (self.texts(part)[0] if isinstance(part, ast.Constant) else ELLIPSIS for part in node.values)
            return [_joined("".join(parts))]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            sides = self.texts(node.left, depth + 1), self.texts(node.right, depth + 1)
            return [_joined(left + right) for left in sides[0] for right in sides[1]]
        if isinstance(node, ast.IfExp):
            return [*self.texts(node.body, depth + 1), *self.texts(node.orelse, depth + 1)]
        if isinstance(node, ast.Name) and (value := self._assigned(node)) is not None:
            return self.texts(value, depth + 1)
        return [ELLIPSIS]

    def _assigned(self, name: ast.Name) -> ast.expr | None:
        for scope in self._scopes:
            value: ast.expr | None = None
            for node in ast.walk(scope):
                if isinstance(node, ast.Assign | ast.AugAssign) and node.lineno < name.lineno:
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    if any(isinstance(target, ast.Name) and target.id == name.id for target in targets):
                        added = isinstance(node, ast.AugAssign) and value is not None
                        value = ast.BinOp(value, ast.Add(), node.value) if added and value else node.value
            if value is not None:
                return value
        return None


def lines() -> Iterator[str]:
    """Yield the reference of all messages, as Markdown: a section for each class that has some."""
    found = messages()
    for cls in classes():
        name = cls.__name__
        first = " ".join((cls.__doc__ or "").partition("\n\n")[0].split())
        python = caught_as(cls)
        also = f" `except {python}` catches it too." if python else ""
        yield f"\n### {name}\n\n{first.replace('``', '`')}{also}"
        if name in NOTES:
            yield f"\n{NOTES[name]}"
        if name not in WITHOUT_TABLE:
            yield from _table(found[name])
        if cls is errors.FetchError:
            yield "\nBehind each address stands why it gave nothing:"
            yield from _table(found[SOURCE])
    yield "\n### Of the command line alone\n"
    yield "Exit code 2: the command was not typed as it should be; `--help` shows how."
    yield from _table(found[SHELL])


def _table(found: list[Message]) -> Iterator[str]:
    if any(message.hint for message in found):
        yield "\n| message | what to do |\n|---|---|"
        yield from (f"| {code(message.text)} | {_cell(message.hint)} |" for message in found)
    elif found:
        yield "\n| message |\n|---|"
        yield from (f"| {code(message.text)} |" for message in found)


def _cell(hint: str) -> str:
    """Return a hint as prose in a cell: what Markdown would take for its own is written out."""
    pieces = " ".join(hint.split()).replace("|", "\\|").split("`")
    return "`".join(
        piece if number % 2 else re.sub(r"([*_<\[])", r"\\\1", piece) for number, piece in enumerate(pieces)
    )


# What these classes say is drawn together while it happens; above is how it looks.
WITHOUT_TABLE = ("MissingLibrary", "UnknownName", "OfflineError", "HashMismatch", "DatasetError")
NOTES = {
    "ManifestError": """\
Each line begins with the file, the line in it, and the key. [manifest.md](manifest.md) says what each key may be.""",
    "FetchError": """\
[network.md](network.md) says what is tried before, and what each answer leads to.
`tinytorch-datasets doctor` says which address works.""",
    "NetworkSettingsError": "Each message begins with the variable.",
    "DecodeError": "Each message begins with the path of the file.",
    "ContentError": """\
The file has its declared hash, so what the entry says of its content is what to correct.
`tinytorch-datasets audit NAME` lists all that differs.""",
    "UnsafePickle": f"[security.md](security.md#pickles) says what is let through. {errors.CONVERT_IT}",
    "StorageError": "Where the system refused, the message ends with its own words, for example that the disk is full.",
}


def _joined(text: str) -> str:
    return re.sub(f"{ELLIPSIS}+", ELLIPSIS, text)


def code(text: str) -> str:
    """Return a text as code in a cell of a table."""
    shown = " ".join(text.split()).replace("|", "\\|")
    fence = "``" if "`" in shown else "`"
    space = " " if "`" in shown else ""
    return f"{fence}{space}{shown}{space}{fence}" if shown else ""


def happened(case: str) -> str:
    """Return the message of an error that is made to happen now, with its class, as a traceback ends.

    Args:
        case: The name of a function of this module that makes it happen.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        try:
            _CASES[case](folder)
        except errors.DatasetError as error:
            text = f"tinytorch_datasets.errors.{type(error).__name__}: {error}"
            packaged = str(Path(tinytorch_datasets.load_manifest().path).parent)
            return f"```output\n{text.replace(f'{folder}/', '').replace(f'{packaged}/', '')}\n```"
    msg = f"{case}: nothing happened"
    raise AssertionError(msg)


def _flowers(folder: Path, rows: bytes = flowers.ROWS, *, samples: int = 2, declared: bytes | None = None) -> None:
    (folder / "usb").mkdir()
    (folder / "usb" / "flowers.csv").write_bytes(rows)
    manifest = folder / "datasets.yaml"
    text = flowers.manifest(rows if declared is None else declared, samples=samples)
    manifest.write_text(text, encoding="utf-8")
    get("flowers", manifest=manifest, home=folder / "home", mirror=folder / "usb", progress=lambda *_: None)


def _wrong_key(folder: Path) -> None:
    manifest = folder / "datasets.yaml"
    manifest.write_text(flowers.manifest().replace("format: csv", "fromat: csv"), encoding="utf-8")
    get("flowers", manifest=manifest)


def _home_is_a_file(folder: Path) -> None:
    (folder / "home").write_text("")
    get("tinydigits", home=folder / "home")


def _no_mirror(folder: Path) -> None:
    manifest = folder / "datasets.yaml"
    manifest.write_text(flowers.manifest(), encoding="utf-8")
    get("flowers", manifest=manifest, home=folder / "home", retry=RetryPolicy(tries=1), progress=lambda *_: None)


def _changed_file(folder: Path) -> None:
    (folder / "home" / "flowers").mkdir(parents=True)
    (folder / "home" / "flowers" / "flowers.csv").write_bytes(flowers.ROWS.replace(b"\n", b"\r\n"))
    _flowers(folder)


def _missing_library(folder: Path) -> None:
    needing = "format 'parquet'"
    raise errors.MissingLibrary(needing, "pyarrow", "tables")


_CASES: dict[str, Callable[[Path], object]] = {
    "wrong hash": lambda folder: _flowers(folder, flowers.ROWS.replace(b"5.1", b"5.2"), declared=flowers.ROWS),
    "changed file": _changed_file,
    "missing library": _missing_library,
    "offline": lambda folder: get("mnist", home=folder / "home", offline=True),
    "no mirror": _no_mirror,
    "unknown name": lambda _: get("mnits"),
    "wrong key": _wrong_key,
    "home is a file": _home_is_a_file,
    "other samples": lambda folder: _flowers(folder, samples=3),
    "other class": lambda folder: _flowers(folder, flowers.ROWS.replace(b"tulip", b"Tulip")),
    "wrong choice": lambda _: get("tinydigits").train.arrays(normalize="standart"),
}
