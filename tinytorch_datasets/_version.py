"""The version of the package; pyproject.toml reads it from here.

Here, and in pyproject.toml read from here.
"""

VERSION = "0.1.0"
