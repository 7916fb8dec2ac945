"""The version of the package, which pyproject.toml reads, and its homepage."""

VERSION = "0.1.0"
HOMEPAGE = ""  # with it, the User-Agent and SARIF say where to read about the program; nothing is made up
