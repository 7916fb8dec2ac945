# List the recipes
default:
    @just --list

# Everything that a push must pass
check: lint types test docs audit

# Style
lint:
    ruff check
    ruff format --check

# Types
types:
    mypy

# The fast tests
test *ARGS:
    pytest -n auto {{ARGS}}

# The slow tests
slow:
    pytest -m slow

# The generated parts of the docs, the schema and the compiled manifest are as the code would write them
docs:
    cog -P --check README.md $(find docs -name '*.md') datasets/README.md
    tinytorch-datasets schema | diff - datasets.schema.json
    tinytorch-datasets compile --check

# Write the generated parts of the docs, the schema and the compiled manifest anew
regenerate:
    tinytorch-datasets schema > datasets.schema.json
    tinytorch-datasets compile
    cog -P -r README.md $(find docs -name '*.md') datasets/README.md

# The documentation site, in site/, with every warning an error
site:
    mkdocs build --strict

# Shipped and cached data against the manifest
audit:
    tinytorch-datasets audit
