"""The version of the package, which pyproject.toml reads, and its address."""

VERSION = "0.1.0"
HOMEPAGE = "https://github.com/OWNER/tinytorch-datasets"
