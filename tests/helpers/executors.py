"""An executor whose worker is this process, and what fails some of its calls."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest


class Sending(Executor):
    """An executor whose worker is this process, but all that goes there and back is pickled, as to any other.

    `before` is called with the number of each call before it is run; what it raises is raised in place of a result.
    """

    def __init__(self, before: Callable[[int], object] = lambda number: None) -> None:
        self.calls, self._before = 0, before

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it now."""
        future: Future[Any] = Future()
        self.calls += 1
        try:
            call = pickle.dumps((function, args, kwargs))
        except Exception as error:  # it would be done in place of the executor, and every result would be right
            pytest.fail(f"what is sent does not pickle: {error}")
        try:
            self._before(self.calls)
            function, args, kwargs = pickle.loads(call)
            future.set_result(pickle.loads(pickle.dumps(function(*args, **kwargs))))
        except BaseException as error:
            future.set_exception(error)
        return future


def fail(error: BaseException, *calls: int) -> Callable[[int], None]:
    """What fails those calls, or all if none is named."""

    def before(number: int) -> None:
        if number in calls or not calls:
            raise error

    return before
