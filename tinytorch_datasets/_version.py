"""Which version of the package is this? Here, and in pyproject.toml read from here."""

VERSION = "0.1.0"
