"""One page opened in Chromium, and everything on it that must not happen: messages, requests, scripts of the data.

Every request is refused except the one for the page itself, so a page that needs the network looks broken here. A page
of a server may also ask for what is below its address.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

PATIENCE = 60  # seconds until a wait fails; a busy machine is slow

# `window.ran` is what hostile data in the tests calls; see hostile_set.py.
_WATCH = """
window.ran = [];
window.refused = [];
document.addEventListener("securitypolicyviolation", event => {
  window.refused.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
"""


@dataclass  # no slots: Playwright sets attributes
class Visit:
    page: Page
    address: str
    messages: list[str] = field(default_factory=list)  # of the console, errors and dialogs
    requests: list[str] = field(default_factory=list)  # to anything but the page

    def faults(self) -> list[str]:
        """Everything that must not happen on a page: empty if all is well."""
        found = self.messages + [f"request to {url[:200]}" for url in self.requests]
        found += [f"refused by the policy: {one}" for one in self.page.evaluate("window.refused")]
        return found + [f"data was executed: {one}" for one in self.page.evaluate("window.ran")]

    def draw_charts(self) -> None:
        """Draw all charts of the page, also those that are not in view, as printing does."""
        self.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        self.until("[...document.querySelectorAll('[data-chart]')].every(chart => chart.dataset.drawn)")

    def until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true. Playwright's own wait_for_function breaks the page's policy."""
        end = time.monotonic() + PATIENCE
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"still false after {PATIENCE} s: {condition}"
            self.page.wait_for_timeout(20)

    def answer(self, route: Route) -> None:
        url = route.request.url
        served = self.address.startswith("http:") and url.startswith(self.address)
        if served or urldefrag(url).url == self.address or url.startswith(("data:", "blob:")):
            route.continue_()
        else:
            self.requests.append(url)
            route.abort()


@contextmanager
def visited(
    browser: Browser, path: Path | str, *, anchor: str = "", ready: str = "", **options: Any
) -> Iterator[Visit]:
    """Open a file or the address of a server, check after the block that nothing forbidden happened.

    ready: selector to wait for. options: of the browser's context (`color_scheme`, `viewport`, ...).
    """
    context = browser.new_context(**{"reduced_motion": "reduce"} | options)  # without it, scrolling takes time
    context.add_init_script(_WATCH)
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    visit = Visit(page, path if isinstance(path, str) else path.as_uri())
    page.on("console", lambda message: visit.messages.append(f"console {message.type}: {message.text[:400]}"))
    page.on("pageerror", lambda error: visit.messages.append(f"error: {str(error)[:400]}"))
    page.on("dialog", lambda dialog: (visit.messages.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("popup", lambda popup: visit.messages.append(f"popup: {popup.url}"))
    context.route("**/*", visit.answer)
    try:
        page.goto(visit.address + anchor)
        if ready:
            page.wait_for_selector(ready, state="attached")
        yield visit
        faults = visit.faults()
        assert not faults, "\n".join(faults)
    finally:
        context.close()
