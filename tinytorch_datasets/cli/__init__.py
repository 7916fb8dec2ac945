"""The command line: `tinytorch-datasets`."""

from tinytorch_datasets.cli.main import main as main
