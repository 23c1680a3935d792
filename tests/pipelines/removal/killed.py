"""Kills a removal at any change of a local file, without a process of its own for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_CHANGES = ("replace", "link", "unlink", "rmdir")


class Killed(BaseException):
    """Raised in place of every change from the chosen one on: a dead process changes nothing, and cleans up nothing."""


@contextmanager
def killed_at(change: int, counted: list[str] | None = None) -> Iterator[None]:
    """A context in which the process is as dead from this change on. `counted`: gets the name of each change before."""
    done = 0

    def mortal(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            if done >= change:
                raise Killed
            done += 1
            if counted is not None:
                counted.append(f"{name} {arguments[-1]}")
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in _CHANGES:
            patch.setattr(os, name, mortal(getattr(os, name), name))
        yield


@contextmanager
def the_killed_are_dead() -> Iterator[None]:
    """A context in which no other process is alive: the killed one was this process, which still runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.storage.going.may_be_alive", lambda name: False)
        patch.setattr("engine.storage.files.may_be_alive", lambda name: False)
        yield
