"""The contestants, and how they are called."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent / "contestants"
PACKAGE = "tinytorch-datasets"
_LIST = re.compile(r"^dependencies = (\[.*?\])$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^# /// script$(?P<body>(?:\n#.*)+?)\n# ///$", re.MULTILINE)


@dataclass(frozen=True)
class Entrant:
    """One contestant.

    Attributes:
        name: What the command line calls it.
        title: What tables call it.
        script: Its tasks.
        extras: What its environment has besides what the script asks for.
        only_if_asked: Why it takes part only when the command line names it, if so.
    """

    name: str
    title: str
    script: str
    extras: tuple[str, ...] = ()
    only_if_asked: str = ""

    @property
    def path(self) -> Path:
        """The script itself."""
        return SCRIPTS / self.script

    @property
    def requirements(self) -> tuple[str, ...]:
        """What its environment needs."""
        return (*requirements(self.path), *self.extras)


def requirements(script: Path) -> tuple[str, ...]:
    """What a script says it needs, in its inline metadata (PEP 723).

    >>> requirements(SCRIPTS / "with_bare.py")
    ('numpy',)
    """
    block = _BLOCK.search(script.read_text(encoding="utf-8"))
    listed = _LIST.search(block["body"].replace("\n# ", "\n")) if block else None
    # A TOML list of strings is a Python one as well, and Python 3.10 has no TOML.
    return tuple(ast.literal_eval(listed[1])) if listed else ()


ENTRANTS = {
    entrant.name: entrant
    for entrant in (
        Entrant("bare", "NumPy by hand, no checks", "with_bare.py"),
        Entrant("tinytorch", "tinytorch-datasets", "with_tinytorch.py"),
        Entrant("tinytorch-isal", "tinytorch-datasets with isal", "with_tinytorch.py", extras=("isal",)),
        Entrant("pydantic", "CSafeLoader and Pydantic by hand", "with_pydantic.py"),
        Entrant("pooch", "Pooch, and NumPy by hand", "with_pooch.py"),
        Entrant("huggingface", "Hugging Face datasets", "with_huggingface.py"),
        Entrant("keras", "Keras", "with_keras.py"),
        Entrant(
            "torchvision",
            "torchvision",
            "with_torchvision.py",
            only_if_asked="on Linux the package index has it with CUDA only, some 5 GB; "
            "with an index of builds for the processor alone it takes part by `--with`",
        ),
    )
}

# Who could be asked for, and is not, with the reason.
ABSENT = {
    "scikit-learn": "fetches these data sets from the OpenML service only, in another form (ARFF or Parquet), "
    "so it cannot be given the same bytes from a loopback server",
}
