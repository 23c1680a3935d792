"""The tiny checkpoints of tiny.py, each made once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.specialists.transformers.tiny import MAKERS, seeded
from tests.specialists.transformers.tiny_grounders import GROUNDERS
from tests.specialists.transformers.tiny_scorers import SCORERS
from tests.specialists.transformers.tiny_words import WORD_MAKERS


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of the tiny checkpoint of a kind (a key of one of the makers), which tests must not change."""
    makers = MAKERS | WORD_MAKERS | GROUNDERS | SCORERS

    @cache
    def folder_of(kind: str) -> str:
        folder: Path = tmp_path_factory.mktemp("checkpoints") / kind
        folder.mkdir()
        with seeded():
            makers[kind](folder)
        return str(folder)

    return folder_of
