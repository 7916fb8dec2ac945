"""``python -m tinytorch_datasets`` is the command line."""

from tinytorch_datasets.cli import main

main(prog_name="tinytorch-datasets")
