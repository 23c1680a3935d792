"""The page for people who use a keyboard, a screen reader, a narrow screen or a dark one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.reports import READY, Reports
from tests.browser.visit import Visit, visited

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Rows of a table are made alike, so those after the twentieth are looked at in two reports only.
MORE_ROWS = "table.sortable tbody tr:nth-child(n+21)"
FOCUSED = """() => {
    const focused = document.activeElement;
    const box = focused.getBoundingClientRect();
    const style = getComputedStyle(focused);
    return {
        path: focused.tagName + (focused.id ? '#' + focused.id : ''),
        name: (focused.getAttribute('aria-label') || focused.textContent || focused.getAttribute('title') || '').trim(),
        seen: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0,
        outlined: parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== 'none',
        field: ['INPUT', 'SELECT', 'TEXTAREA'].includes(focused.tagName),
    };
}"""


@pytest.mark.parametrize(
    ("name", "width", "theme"),
    [("refined", 390, "light"), ("refined", 1600, "dark"), ("demo", 1600, "light"), ("people", 390, "dark")],
)
def test_axe_finds_nothing_serious(
    browser: Browser, reports: Reports, axe: str, name: str, width: int, theme: Any
) -> None:
    screen = {"width": width, "height": 900}
    with visited(browser, reports[name].page, ready=READY, color_scheme=theme, viewport=screen) as visit:
        open_everything(visit)
        if (name, theme) != ("refined", "light"):
            visit.page.evaluate(f"for (const row of document.querySelectorAll('{MORE_ROWS}')) row.remove()")

        assert serious_faults(visit, axe) == []


def test_axe_finds_nothing_serious_in_data_that_attacks(browser: Browser, reports: Reports, axe: str) -> None:
    screen = {"width": 390, "height": 900}
    with visited(browser, reports["hostile"].page, ready=READY, color_scheme="light", viewport=screen) as visit:
        open_everything(visit)

        assert serious_faults(visit, axe) == []


def open_everything(visit: Visit) -> None:
    visit.draw_charts()
    visit.page.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")


def serious_faults(visit: Visit, axe: str) -> list[str]:
    """What axe finds on the page. It does not work out the selectors of elements, which takes a sixth of its time."""
    visit.page.evaluate(axe)
    result = visit.page.evaluate("axe.run(document, {resultTypes: ['violations'], selectors: false})")
    assert len(result["passes"]) > 10
    found = [one for one in result["violations"] if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:300]}" for one in found]


def test_each_stop_of_the_tab_key_is_in_view_outlined_and_has_a_name(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["refined"].page, ready=READY) as visit:
        stops: list[dict[str, Any]] = []
        for _ in range(80):
            visit.page.keyboard.press("Tab")
            stops.append(visit.page.evaluate(FOCUSED))

    assert stops[0]["name"] == "Skip to the figures"
    assert [stop for stop in stops if not stop["seen"]] == []
    assert [stop for stop in stops if not stop["outlined"]] == []
    assert [stop for stop in stops if not stop["name"] and not stop["field"]] == []
    assert {"BUTTON#theme", "SUMMARY"} <= {stop["path"] for stop in stops}


def test_the_skip_link_leads_past_the_navigation(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["refined"].page, ready=READY) as visit:
        visit.page.keyboard.press("Tab")
        visit.page.keyboard.press("Enter")
        visit.page.keyboard.press("Tab")

        assert visit.page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_tables_sort_and_sql_opens_with_the_keyboard(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["refined"].page, ready=READY) as visit:
        figure = visit.page.locator("#figure-annotations_per_type")
        header = figure.locator("th", has_text="kept")
        header.locator("button").focus()
        visit.page.keyboard.press("Enter")
        figure.locator("details.sql > summary").focus()
        visit.page.keyboard.press("Space")

        assert header.get_attribute("aria-sort") == "descending"
        assert "SELECT" in figure.locator("details.sql pre").inner_text()
        assert figure.locator("details.sql pre").is_visible()
