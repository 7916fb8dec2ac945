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
    pytest {{ARGS}}

# The slow tests
slow:
    pytest -m slow

# The generated parts of the docs, and the schema, are as the code would write them
docs:
    cog -P --check README.md docs/*.md datasets/README.md
    tinytorch-datasets schema | diff - datasets.schema.json

# Write the generated parts of the docs, and the schema, anew
regenerate:
    tinytorch-datasets schema > datasets.schema.json
    cog -P -r README.md docs/*.md datasets/README.md

# Shipped and cached data against the manifest
audit:
    tinytorch-datasets audit
