"""The version of the package, which pyproject.toml reads from here, and its address."""

VERSION = "0.1.0"
HOMEPAGE = "https://pypi.org/project/tinytorch-datasets/"
