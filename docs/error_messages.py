"""The messages of the package's errors, for errors.md: read from the code, and some as they are when they happen."""

from __future__ import annotations

import ast
import builtins
import itertools
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import flowers

import tinytorch_datasets
from tinytorch_datasets import RetryPolicy, errors, get
from tinytorch_datasets.fetch import base

PACKAGE = Path(tinytorch_datasets.__file__).parent
SOURCE, SHELL = "source", "shell"
ELLIPSIS = "\u2026"  # stands for what differs from case to case
ENDING = (ast.Raise, ast.Return, ast.Continue, ast.Break)  # what leaves its block
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
    of_streams = dict(_raisers(modules[PACKAGE / "readers" / "stream.py"]))
    found: dict[str, set[Message]] = {name: set() for name in (*(cls.__name__ for cls in classes()), SOURCE, SHELL)}
    for path, module in modules.items():
        reads = path.relative_to(PACKAGE).parts[0] in ("readers", "formats")  # by streams, or what fails as they do
        here = {**makers, **(of_streams if reads else {}), **dict(_raisers(module))}
        for function, node in _nodes(module):
            reader = _Reader(module, function)
            if isinstance(node, ast.Call) and (maker := here.get(_name(node.func))):
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
            yield from _maker(node, names[node.returns.id])


def _raisers(module: ast.Module) -> Iterator[tuple[str, Maker]]:
    """Yield the functions that only raise, such as `Stream.fail`, with the class that each makes an error of."""
    names = {cls.__name__ for cls in classes()}
    for _, node in _nodes(module):
        if isinstance(node, ast.FunctionDef) and isinstance(node.returns, ast.Name) and node.returns.id == "NoReturn":
            called = (_name(each.func) for each in ast.walk(node) if isinstance(each, ast.Call))
            for cls in itertools.islice((name for name in called if name in names), 1):
                yield from _maker(node, cls)


def _maker(node: ast.FunctionDef, makes: str) -> Iterator[tuple[str, Maker]]:
    taken = tuple(argument.arg for argument in node.args.args if argument.arg != "self")
    message = next((name for name in ("reason", "what") if name in taken), None)
    if message is not None:
        yield node.name, Maker(makes, taken, message)


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
        if (what := given.get(maker.message)) is None:
            return
        texts, hints = self.texts(what), self.texts(given["hint"]) if "hint" in given else [""]
        # Where both were chosen on the same ways, each has its own.
        are_pairs = isinstance(what, ast.Name) and isinstance(given.get("hint"), ast.Name) and len(texts) == len(hints)
        for text, hint in zip(texts, hints, strict=True) if are_pairs else itertools.product(texts, hints):
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
        if isinstance(node, ast.Name):
            return [text for value in self._assigned(node) for text in self.texts(value, depth + 1)] or [ELLIPSIS]
        return [ELLIPSIS]

    def _assigned(self, name: ast.Name) -> list[ast.expr]:
        """Return what was assigned to a name before it is used; nothing of a parameter, whatever others call it."""
        function, module = self._scopes
        if isinstance(function, ast.FunctionDef):
            if any(isinstance(each, ast.arg) and each.arg == name.id for each in ast.walk(function.args)):
                return []
            if values := _reaching(name, function.body, []):
                return values
        assigning = [node for node in ast.walk(module) if isinstance(node, ast.Assign) and node.lineno < name.lineno]
        of_name = [value for node in assigning if (value := _value(node, name.id)) is not None]
        return of_name[:1] and [max(of_name, key=lambda value: value.lineno)]


def _reaching(name: ast.Name, block: Iterable[ast.stmt], values: list[ast.expr]) -> list[ast.expr]:
    """Return what a name may be where it is used, or after the block: the last value on each way there."""
    for statement in block:
        inner = [getattr(statement, part, ()) for part in ("body", "orelse", "finalbody")]
        inner += [part.body for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ()))]
        inner = [] if isinstance(statement, ast.FunctionDef | ast.ClassDef) else [part for part in inner if part]
        if _is_in(name, [statement]):
            return next((_reaching(name, part, values) for part in inner if _is_in(name, part)), values)
        if inner:
            ways = [_reaching(name, part, values) for part in inner if not isinstance(part[-1], ENDING)]
            ways += [] if isinstance(statement, ast.If) and statement.orelse else [values]
            values = [*dict.fromkeys(value for way in ways for value in way)]
        elif isinstance(statement, ast.AugAssign) and _value(statement, name.id) is not None:
            values = [ast.BinOp(value, ast.Add(), statement.value) for value in values] or [statement.value]
        elif isinstance(statement, ast.Assign) and (value := _value(statement, name.id)) is not None:
            values = [value]
    return values


def _is_in(name: ast.Name, block: Sequence[ast.stmt]) -> bool:
    return block[0].lineno <= name.lineno <= (block[-1].end_lineno or 0)


def _value(node: ast.Assign | ast.AugAssign, name: str) -> ast.expr | None:
    """Return what a statement assigns to a name, if it does."""
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        pairs = [(target, node.value)]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = [*zip(target.elts, node.value.elts, strict=False)]
        for each, value in pairs:
            if isinstance(each, ast.Name) and each.id == name:
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
    """Yield a row for each message; where one comes with several hints, they share its row."""
    hints: dict[str, list[str]] = {}
    for message in found:
        hints.setdefault(code(message.text), []).extend([_cell(message.hint)] if message.hint else [])
    if any(hints.values()):
        yield "\n| message | what to do |\n|---|---|"
        yield from (f"| {text} | {' Or: '.join(each)} |" for text, each in hints.items())
    elif found:
        yield "\n| message |\n|---|"
        yield from (f"| {text} |" for text in hints)


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
