"""The page of the report in a browser: charts, tables, links and themes, for each of the data sets of reports.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.reports import NAMES, READY, Reports
from tests.browser.visit import Visit, visited

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

# {chart: number of marks}: bars, points, lines and squares, each with its value in its label.
MARKS = """() => Object.fromEntries([...document.querySelectorAll('[data-chart]')].map(
    chart => [chart.dataset.chart, chart.querySelectorAll('svg [aria-roledescription]:not(g)').length]))"""
# For each table, for each column: the values in the order of the rows after one click, and after another.
SORTED = """() => [...document.querySelectorAll('table.sortable')].map(table =>
    [...table.querySelectorAll('thead th')].map((header, column) => {
        const read = () => {
            header.querySelector('button').click();
            const values = [...table.tBodies[0].rows].map(row => row.cells[column].dataset.value);
            return [header.getAttribute('aria-sort'), values];
        };
        return {name: header.dataset.column, number: header.classList.contains('number'), clicks: [read(), read()]};
    }))"""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [390, 1600])
def test_charts_are_drawn_and_nothing_is_wider_than_the_screen(
    browser: Browser, reports: Reports, name: str, width: int
) -> None:
    with visited(browser, reports[name].page, ready=READY, viewport={"width": width, "height": 900}) as visit:
        visit.draw_charts()

        marks = visit.page.evaluate(MARKS)
        assert len(marks) > 1
        assert {chart: number for chart, number in marks.items() if not 0 < number <= 1500} == {}
        assert visit.page.evaluate("document.documentElement.scrollWidth") == width


def test_hovering_a_bar_shows_the_number_in_the_table(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["refined"].page, ready=READY) as visit:
        kept = column(visit, "annotations_per_type", "kept")
        expected = dict(zip(column(visit, "annotations_per_type", "annotation_type"), kept, strict=True))
        bars = visit.page.locator("#figure-annotations_per_type .chart svg path[aria-roledescription=bar]")
        visit.page.locator("#figure-annotations_per_type").scroll_into_view_if_needed()  # it is drawn when it is seen
        bars.first.wait_for()

        tooltips = [tooltip(visit, bars.nth(number)) for number in range(bars.count())]

        assert tooltips
        assert {one["type"]: one["kept"].replace(",", "") for one in tooltips} == expected


def column(visit: Visit, figure: str, name: str) -> list[str]:
    """The values in a column of a figure's table."""
    return visit.page.eval_on_selector(
        f"#figure-{figure} table",
        """(table, name) => {
            const column = [...table.querySelectorAll('thead th')].findIndex(one => one.dataset.column === name);
            return [...table.tBodies[0].rows].map(row => row.cells[column].dataset.value);
        }""",
        name,
    )


def tooltip(visit: Visit, mark: Locator) -> dict[str, str]:
    """What hovering the mark shows: {title: value}."""
    visit.page.mouse.move(0, 0)
    mark.hover()
    visit.page.wait_for_selector("#vg-tooltip-element.visible")
    rows = visit.page.locator("#vg-tooltip-element tr")
    cells = [rows.nth(number).locator("td").all_inner_texts() for number in range(rows.count())]
    return {title.strip(" :"): value for title, value in cells}


@pytest.mark.parametrize("name", NAMES)
def test_every_column_sorts_both_ways_and_numbers_as_numbers(browser: Browser, reports: Reports, name: str) -> None:
    with visited(browser, reports[name].page, ready=READY) as visit:
        tables = visit.page.evaluate(SORTED)

    columns = [column for table in tables for column in table]
    assert any(column["number"] for column in columns)
    assert any(not column["number"] for column in columns)
    for column in columns:
        assert {direction for direction, _ in column["clicks"]} == {"ascending", "descending"}
        for direction, values in column["clicks"]:
            filled = [value for value in values if value != ""]
            assert values == filled + [""] * (len(values) - len(filled)), "rows without a value come last"
            if column["number"]:
                numbers = [float(value) for value in filled]
                assert numbers == sorted(numbers, reverse=direction == "descending"), column["name"]
        # With equal values, rows keep their order: compare what was sorted, not its mirror image.
        first, second = (values for _, values in column["clicks"])
        assert sorted(first) == sorted(second)
        if not column["number"] and len(set(first) - {""}) > 1:
            assert first != second, column["name"]


def test_the_theme_can_be_chosen_and_charts_follow_it(browser: Browser, reports: Reports) -> None:
    def look() -> Any:
        visit.draw_charts()
        return visit.page.evaluate(
            """() => [document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor,
                document.querySelector('[data-chart] svg text').getAttribute('fill')]"""
        )

    with visited(browser, reports["refined"].page, ready=READY, color_scheme="dark") as visit:
        dark = look()
        button = visit.page.locator("#theme")
        button.click()
        visit.until("document.querySelector('[data-chart]').dataset.drawn === 'light'")
        light = look()

        assert (dark[0], light[0]) == ("dark", "light")
        assert button.inner_text() == "Theme: light"
        assert dark[1] != light[1]
        assert dark[2] != light[2]
        visit.page.reload()
        visit.page.wait_for_selector(READY)
        assert visit.page.locator("html").get_attribute("data-theme") == "light"


def test_a_link_to_a_figure_shows_it(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["refined"].page, anchor="#figure-spatial_area", ready=READY) as visit:
        figure = visit.page.locator("#figure-spatial_area")
        visit.until("Math.abs(document.getElementById('figure-spatial_area').getBoundingClientRect().top) < 500")

        assert figure.locator("h3").is_visible()
        assert figure.locator("details.rows").get_attribute("open") is not None


def test_links_of_the_page_lead_to_places_in_it(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["refined"].page, ready=READY) as visit:
        links = visit.page.evaluate("[...document.querySelectorAll('a[href]')].map(link => link.getAttribute('href'))")
        places = set(visit.page.evaluate("[...document.querySelectorAll('[id]')].map(one => '#' + one.id)"))

        assert len(links) > 2
        assert [link for link in links if link not in places and not link.startswith("#image=")] == []
