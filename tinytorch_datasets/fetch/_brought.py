"""What came, and how was it when it was found right?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tinytorch_datasets.plan import File

if TYPE_CHECKING:
    from tinytorch_datasets.maps import Stamp


class Brought(NamedTuple):
    """A file that is in its place, and the stamp of the very bytes that were hashed on their way there.

    None for the stamp of one that another program has touched since: whoever wants to trust it has to hash it.
    """

    file: File
    seen: Stamp | None
