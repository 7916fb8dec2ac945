"""Gradients by PyTorch, an optional extra that explains itself when it is missing."""

from __future__ import annotations

try:
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError:
    message = """\
The milestones learn by gradients, and PyTorch works them out; it is not installed here.
Install it with the extra, in the clone's root: pip install -e '.[milestones]'
On Linux, add --extra-index-url https://download.pytorch.org/whl/cpu for the much smaller build without CUDA."""
    raise SystemExit(message) from None

__all__ = ["Tensor", "nn", "repeatable", "torch"]


def repeatable(seed: int) -> None:
    """From here on, the same seed gives the same numbers on this machine.

    One thread does the work: several add up in another order, and for networks this small they mostly wait for each
    other.
    """
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
