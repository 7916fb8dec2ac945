"""What do a data set's pickles ask for?"""

from __future__ import annotations

from tinytorch_datasets import formats
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats._pickle_names import globals_of
from tinytorch_datasets.plan import Plan


def asked_for(plan: Plan) -> tuple[str, ...]:
    """Every name (``numpy.ndarray``) in the data set's pickles, sorted; none of them is loaded.

    Up to where a pickle is damaged: that it is, decoding tells.
    """
    pickles = formats.of(plan.format).pickles
    names: set[str] = set()
    try:
        for _, _, read in pickles(plan.splits) if pickles else ():
            names.update(globals_of(read))
    except DecodeError:
        pass
    return tuple(sorted(names))
