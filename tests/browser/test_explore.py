"""The page of `engine explore` in a browser: pages, filters, conditions, pictures, links, and data that attacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.browser.reports import Reports
from tests.browser.test_accessibility import serious_faults
from tests.browser.visit import Visit, visited
from tests.pipelines.gallery.serve.conftest import served
from tests.runs import draw_photos, recipe_data

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CARD = ".gallery-card"
IDLE = "!document.querySelector('.gallery').hasAttribute('aria-busy')"


@contextmanager
def explored(browser: Browser, dataset: Path, anchor: str = "", **options: Any) -> Iterator[Visit]:
    with (
        served(dataset.parent, str(dataset)) as gallery,
        visited(browser, gallery.server.url, anchor=anchor, ready=CARD, **options) as visit,
    ):
        yield visit
        visit.page.wait_for_load_state("networkidle")


def count(visit: Visit) -> str:
    visit.until(IDLE)
    return visit.page.locator(".gallery-count").inner_text()


def cards(visit: Visit) -> list[str | None]:
    visit.until(IDLE)
    return [card.get_attribute("data-image") for card in visit.page.locator(CARD).all()]


def until_count(visit: Visit, start: str) -> None:
    visit.until(f"document.querySelector('.gallery-count').textContent.startsWith({start!r})")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty photos, ingested only."""
    folder = tmp_path_factory.mktemp("photos")
    draw_photos(folder / "photos", 30)
    stages.run(parse_recipe(recipe_data(folder / "set", folder / "photos", {})), stage="ingest", runner="inline")
    return folder / "set"


def test_pages_have_all_images_in_order(browser: Browser, photos: Path) -> None:
    with explored(browser, photos) as visit:
        assert count(visit) == "Images 1 to 24 of 30 images"
        first = cards(visit)
        visit.page.click("button[data-page=next]")
        until_count(visit, "Images 25 to 30")
        assert len({*first, *cards(visit)}) == 30


def test_a_condition_a_random_order_and_a_reload(browser: Browser, photos: Path) -> None:
    with explored(browser, photos) as visit:
        listed = cards(visit)
        visit.page.click("#more summary")
        visit.page.fill("input[name=where]", "width = 25")
        visit.page.keyboard.press("Enter")
        until_count(visit, "10 images, from a data set of 30")
        visit.page.fill("input[name=where]", "")
        visit.page.fill("input[name=seed]", "7")
        visit.page.click("#conditions button[type=submit]")
        until_count(visit, "Images 1 to 24 of 30")
        shuffled = cards(visit)
        assert shuffled != listed

        visit.page.reload()
        visit.page.wait_for_selector(CARD)

        assert cards(visit) == shuffled
        assert visit.page.input_value("input[name=seed]") == "7"


def test_a_wrong_condition_is_one_sentence_on_the_page(browser: Browser, photos: Path) -> None:
    with explored(browser, photos) as visit:
        visit.page.click("#more summary")
        visit.page.fill("input[name=where]", "wdth > 1")
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector("#problem:not([hidden])")
        assert visit.page.inner_text("#problem").startswith('The query failed: Referenced column "wdth" not found')
        assert [message for message in visit.messages if "400" not in message] == []
        visit.messages.clear()
        visit.page.click("#conditions button[type=reset]")
        until_count(visit, "Images 1 to 24 of 30")
        assert visit.page.is_hidden("#problem")


def test_filters_find_images_and_a_phrase_lights_its_region(browser: Browser, reports: Reports) -> None:
    with explored(browser, reports["refined"].dataset) as visit:
        whole = len(cards(visit))
        visit.page.select_option("select[name=label]", index=1)
        visit.until("new URLSearchParams(location.search).has('label')")
        chosen = cards(visit)
        assert 0 < len(chosen) < whole
        phrase = visit.page.locator(f"{CARD} .gallery-phrase[data-regions]").first
        phrase.scroll_into_view_if_needed()
        phrase.hover()
        assert visit.page.locator(".gallery-region.is-lit").count() > 0


def test_a_link_opens_an_image_with_its_larger_picture(browser: Browser, reports: Reports) -> None:
    with explored(browser, reports["refined"].dataset) as visit:
        name = cards(visit)[-1]
        with visit.page.expect_response(lambda answer: f"/picture/large/{name}" in answer.url) as answer:
            visit.page.goto(f"{visit.address}#image={name}")
            visit.page.wait_for_selector("dialog[open]")
        assert answer.value.status == 200
        visit.page.keyboard.press("Escape")
        visit.until("!document.querySelector('dialog[open]')")


def test_data_that_attacks_is_only_text(browser: Browser, reports: Reports) -> None:
    """`visited` checks that nothing ran, nothing was refused, and no request went elsewhere."""
    with explored(browser, reports["hostile"].dataset) as visit:
        number = visit.page.locator("select[name=label] option").count()
        assert number > 10
        for index in range(1, number):
            visit.page.select_option("select[name=label]", index=index)
            visit.until("new URLSearchParams(location.search).get('label') === "
                        "document.querySelector('select[name=label]').value.trim()")  # fmt: skip
            assert cards(visit) != []
        visit.page.locator(".gallery-open").first.click()
        visit.page.wait_for_selector("dialog[open]")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, reports: Reports, axe: str, theme: Any) -> None:
    with explored(browser, reports["refined"].dataset, color_scheme=theme) as visit:
        visit.page.click("#more summary")
        assert serious_faults(visit, axe) == []
