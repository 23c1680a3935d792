"""The gallery of the report: phrases and their regions, filters, pages, the large view and its address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from engine.reading.dataset import Dataset
from engine.reading.sql import query
from tests.browser.hostile_set import ATTACKS, PHRASE
from tests.browser.reports import NAMES, Reports
from tests.browser.visit import Visit, visited

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

CARD = ".gallery-card"
LINKED = ".gallery-phrase[data-regions]"
LIT = f"{CARD} .gallery-region.is-lit"


def lit(visit: Visit) -> set[str | None]:
    """The regions that are lit, on all cards."""
    regions = visit.page.locator(LIT)
    return {regions.nth(number).get_attribute("data-region") for number in range(regions.count())}


def a_phrase(visit: Visit) -> Locator:
    phrase = visit.page.locator(f"{CARD} {LINKED}").first
    phrase.scroll_into_view_if_needed()
    return phrase


@pytest.mark.parametrize("name", ["demo", "people", "refined"])
def test_hovering_a_phrase_lights_its_region_and_leaving_it_unlights(
    browser: Browser, reports: Reports, name: str
) -> None:
    with visited(browser, reports[name].page, ready=CARD) as visit:
        phrase = a_phrase(visit)
        card = visit.page.locator(CARD, has=visit.page.locator(LINKED)).first
        picture = card.locator("svg.gallery-picture")
        visit.page.mouse.move(0, 0)
        dark = picture.screenshot()
        assert lit(visit) == set()

        phrase.hover()

        assert lit(visit) == set((phrase.get_attribute("data-regions") or "").split(" "))
        assert picture.screenshot() != dark, "lighting can be seen"
        visit.page.mouse.move(0, 0)
        assert lit(visit) == set()
        assert picture.screenshot() == dark


def test_hovering_a_region_lights_the_phrases_that_name_it(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["refined"].page, ready=CARD) as visit:
        card = visit.page.locator(CARD, has=visit.page.locator(LINKED)).first
        phrase = card.locator(LINKED).first
        region = (phrase.get_attribute("data-regions") or "").split(" ")[0]
        shape = card.locator(f'.gallery-region[data-region="{region}"]')

        shape.dispatch_event("pointerenter")

        assert "is-lit" in (phrase.get_attribute("class") or "")
        shape.dispatch_event("pointerleave")
        assert "is-lit" not in (phrase.get_attribute("class") or "")


def test_a_phrase_is_lit_with_the_keyboard_and_stays_lit(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["refined"].page, ready=CARD) as visit:
        phrase = a_phrase(visit)
        phrase.focus()
        visit.page.keyboard.press("Enter")
        visit.page.mouse.move(0, 0)
        visit.page.keyboard.press("Tab")
        visit.page.locator("#theme").focus()

        assert lit(visit) == set((phrase.get_attribute("data-regions") or "").split(" "))


def test_phrases_are_the_characters_that_the_data_set_gives(browser: Browser, reports: Reports) -> None:
    """Positions are Unicode code points. Before each phrase of the hostile set are characters of two UTF-16 units."""
    with visited(browser, reports["hostile"].page, ready=CARD) as visit:
        texts = visit.page.locator(f"{CARD} {LINKED}").all_inner_texts()

    assert len(texts) > 10
    assert set(texts) == {PHRASE}


def test_the_label_filter_gives_the_images_with_that_label(browser: Browser, reports: Reports) -> None:
    made = reports["refined"]
    rows = query(
        Dataset.open(str(made.dataset)),
        "SELECT label, count(DISTINCT image_id) AS n FROM regions WHERE label <> '' GROUP BY label ORDER BY n, label",
    ).to_pylist()
    rarest = rows[0]
    with visited(browser, made.page, ready=CARD) as visit:
        everything = visit.page.locator(CARD).count()

        visit.page.locator(".gallery-filters select[name=label]").select_option(rarest["label"])
        visit.until(f"document.querySelectorAll('{CARD}').length === {rarest['n']}")

        assert rarest["n"] < everything
        titles = visit.page.locator(CARD).first.locator(".gallery-region title").all_text_contents()
        assert [title for title in titles if rarest["label"] in title]
        visit.page.locator(".gallery-filters button[type=reset]").click()
        visit.until(f"document.querySelectorAll('{CARD}').length === {everything}")


def test_the_rule_filter_and_words_find_images_or_say_that_none_fits(browser: Browser, reports: Reports) -> None:
    made = reports["refined"]
    with visited(browser, made.page, ready=CARD) as visit:
        rules = visit.page.locator(".gallery-filters select[name=rule] option")
        name, number = re.fullmatch(r"(\S+) \((\d+) images?\)", rules.nth(1).inner_text()).groups()  # type: ignore[union-attr]
        visit.page.locator(".gallery-filters select[name=rule]").select_option(name)
        visit.until(f"document.querySelectorAll('{CARD}').length === {number}")

        visit.page.locator(".gallery-filters input[name=text]").fill("no such words")

        visit.until(f"document.querySelectorAll('{CARD}').length === 0")
        assert "No image fits" in visit.page.locator(".gallery-count").inner_text()


def test_pages_of_images_turn(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["people"].page, ready=CARD) as visit:
        first = visit.page.locator(CARD).first.get_attribute("data-image")
        visit.page.locator(".gallery-pages [data-page=next]").click()
        visit.until(f"document.querySelector('{CARD}').dataset.image !== '{first}'")

        assert "Images 25 to 48" in visit.page.locator(".gallery-count").inner_text()
        visit.page.locator(".gallery-pages [data-page=first]").click()
        visit.until(f"document.querySelector('{CARD}').dataset.image === '{first}'")


def test_a_link_to_an_image_opens_it_and_closing_returns_to_its_card(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["refined"].page, ready=CARD) as visit:
        link = visit.page.locator(f"{CARD} .gallery-open").nth(1)
        address, name = link.get_attribute("href"), link.inner_text()

    with visited(browser, reports["refined"].page, anchor=str(address), ready="dialog[open]") as visit:
        dialog = visit.page.locator("dialog.gallery-dialog")
        assert dialog.locator("h2").inner_text() == name
        visit.page.keyboard.press("ArrowRight")
        visit.until(f"document.querySelector('dialog h2').innerText !== {name!r}")
        visit.page.keyboard.press("ArrowLeft")
        visit.until(f"document.querySelector('dialog h2').innerText === {name!r}")
        visit.page.keyboard.press("Escape")

        assert not dialog.is_visible()
        assert "image=" not in visit.page.url
        assert visit.page.evaluate("document.activeElement.innerText") == name


def test_choosing_a_region_gives_its_address_and_a_command(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["refined"].page, ready=CARD) as visit:
        visit.page.locator(f"{CARD} .gallery-open").first.click()
        row = visit.page.locator("dialog .gallery-row").first
        region = row.locator("xpath=ancestor::tr").get_attribute("data-region")
        row.click()
        address = visit.page.url.partition("#")[2]

        commands = visit.page.locator("dialog .gallery-command code").all_inner_texts()
        assert [one for one in commands if one.startswith("engine why") and one.endswith(str(region))]
    with visited(browser, reports["refined"].page, anchor=f"#{address}", ready="dialog[open]") as visit:
        lit_shapes = visit.page.locator("dialog .gallery-region.is-lit")
        assert lit_shapes.get_attribute("data-region") == region


@pytest.mark.parametrize("anchor", ["#image=none", "#%E0%A4%A", "#image=%E0%A4%A", "#image=a&region=<img src=x>"])
def test_a_wrong_address_shows_the_page(browser: Browser, reports: Reports, anchor: str) -> None:
    with visited(browser, reports["refined"].page, anchor=anchor, ready=CARD) as visit:
        assert not visit.page.locator("dialog").is_visible()
        assert visit.page.locator("html").get_attribute("data-ready") == "yes"


def test_each_attack_can_be_looked_at_closely(browser: Browser, reports: Reports) -> None:
    with visited(browser, reports["hostile"].page, ready=CARD, viewport={"width": 390, "height": 900}) as visit:
        links = visit.page.locator(f"{CARD} .gallery-open").evaluate_all("all => all.map(one => one.hash)")
        assert len(links) > len(ATTACKS)
        for link in links:
            visit.page.evaluate("hash => location.hash = hash", link)
            visit.page.wait_for_selector("dialog[open]")
            for more in visit.page.locator("dialog .gallery-more").all():
                more.click()
            assert visit.page.evaluate("document.querySelector('dialog').scrollWidth <= innerWidth"), link
            visit.page.keyboard.press("Escape")
            visit.page.wait_for_selector("dialog[open]", state="detached")


@pytest.mark.parametrize("name", NAMES)
def test_pages_are_under_ten_megabytes(reports: Reports, name: str) -> None:
    size = reports[name].page.stat().st_size
    assert 500_000 < size < 10_000_000
