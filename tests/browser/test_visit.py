"""The watch itself: each thing that must not happen on a page is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.visit import visited

if TYPE_CHECKING:
    from playwright.sync_api import Browser

POLICY = "default-src 'none'; script-src 'unsafe-inline'; img-src https:"


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("console.warn('careful')", "console warning: careful"),
        ("throw Error('broken')", "error: broken"),
        ("new Image().src = 'https://example.com/x.png'", "request to https://example.com/x.png"),
        ("eval('1')", "refused by the policy: script-src eval"),
        ("document.body.append(Object.assign(new Image(), {src: 'data:,'}))", "refused by the policy: img-src data"),
        ("ran.push('attack')", "data was executed: attack"),
        ("alert('attack')", "dialog: attack"),
    ],
)
def test_a_fault_is_noticed(browser: Browser, tmp_path: Path, script: str, fault: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        f'<!doctype html><meta http-equiv=Content-Security-Policy content="{POLICY}"><body><script>{script}</script>'
    )

    with pytest.raises(AssertionError) as raised, visited(browser, page):
        pass

    assert fault in str(raised.value)


def test_a_page_without_faults_passes(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>page</title><p>Text</p>")

    with visited(browser, page, anchor="#part", ready="p") as visit:
        assert visit.page.inner_text("p") == "Text"
