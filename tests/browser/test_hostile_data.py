"""A data set in which every text is an attack: the page shows the texts and does nothing that they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.hostile_set import ATTACKS, LONG
from tests.browser.reports import READY, Reports
from tests.browser.visit import visited

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("width", [390, 1600])
def test_no_attack_runs_and_none_becomes_an_element(browser: Browser, reports: Reports, width: int) -> None:
    with visited(
        browser, reports["hostile"].page, ready=READY, viewport={"width": width, "height": 900}
    ) as visit:  # it checks that nothing runs
        visit.draw_charts()
        visit.page.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")

        assert visit.page.locator("iframe, object, embed, [onload], [onerror], [srcdoc], base").count() == 0
        assert visit.page.locator("a[href^='javascript:' i]").count() == 0
        assert visit.page.locator("body script:not([type='application/json']):not([type=module])").count() == 0
        assert visit.page.evaluate("document.documentElement.scrollWidth") == width


def test_attacks_are_shown_as_text_of_one_short_line(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["hostile"].page, ready=READY) as visit:
        text = visit.page.evaluate("document.querySelector('main').textContent")

    assert ATTACKS[0] in text
    assert ATTACKS[1] in text
    assert LONG[:40] in text
    assert LONG[:1000] not in text
    assert "\0" not in text
    assert "\u202e" not in text
