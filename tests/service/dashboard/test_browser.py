"""The dashboard in a real Chromium, before a real service."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.service.dashboard.browser import chromium, contrast, serving

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

expect.set_options(timeout=15_000)  # shared machines stall

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium (apt-get install chromium)")

PLACES = ("", "start", "listener?user_id=listener-01", "history?user_id=listener-01", "items",
          "item?item_id=track-01", "experiments", "monitoring", "versions", "data")  # fmt: skip
ABANDONED = (
    "htmx:afterRequest",
    "htmx:sendAbort",
    "htmx:oobErrorNoTarget",
    "Autofocus processing was blocked",
)
"""What htmx says where a slider was dragged on, and so a request or its answer was dropped, and the browser where
somebody has put the focus elsewhere before the answer that would have moved it came."""

PHONE = {"width": 360, "height": 740}

COLOURS = """() => {
  const behind = one => {
    while (/^transparent$|, 0\\)$/.test(getComputedStyle(one).backgroundColor)) one = one.parentElement;
    return getComputedStyle(one).backgroundColor;
  };
  const found = {}, note = (colour, one, least) => {
    found[[colour, behind(one), least]] = [colour, behind(one), least, one.outerHTML.slice(0, 80)];
  };
  for (const one of document.querySelectorAll('body *')) {
    const box = one.getBoundingClientRect();
    if (one.matches('.mix rect, .chart rect, .meter .value, .legend rect'))
      note(getComputedStyle(one).fill, one.closest('svg').parentElement, 3);
    else if (box.width > 2 && box.height > 2 && !one.closest('svg')
             && [...one.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
      note(getComputedStyle(one).color, one, 4.5);
  }
  return Object.values(found);
}"""
"""Each colour of text and drawings with the colour behind it and the least contrast it must have."""


@pytest.fixture(scope="module")
def home(registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(registry, tmp_path_factory.mktemp("served")) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Browsers refuse to lock themselves in where root runs them, as in a container.
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def tab(browser: Browser, home: str) -> Iterator[Page]:
    """A page of its own; what its browser complains about or loads from elsewhere is a failure."""
    page = browser.new_page(base_url=home)
    page.set_default_timeout(10_000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    page.close()
    assert [said for said in complaints if not said.startswith(ABANDONED)] == []
    assert asked
    assert not [url for url in asked if not url.startswith(home)]


def ids(page: Page) -> list[str]:
    return page.locator(".card .id").all_inner_texts()


def test_typing_finds_a_listener_and_leads_to_their_list(tab: Page) -> None:
    tab.goto("")
    tab.get_by_label("Find a listener").press_sequentially("r-03")
    found = tab.locator("#found")
    expect(found.get_by_role("link")).to_have_text(["listener-03", "r-03 as a newcomer"])
    found.get_by_role("link", name="listener-03").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("listener-03")
    assert len(ids(tab)) == 10


def test_dragging_the_crossfader_shows_another_list_and_going_back_the_one_that_is_served(
    tab: Page,
) -> None:
    tab.goto("listener?user_id=listener-01")
    served = ids(tab)
    shares = tab.locator("output").all_inner_texts()
    for label, level in (("item_knn", 0.02), ("popularity", 0.02), ("genre_popularity", 0.97)):
        box = tab.get_by_label(label, exact=True).bounding_box()
        knob = tab.get_by_label(label, exact=True).input_value()
        assert box is not None
        x, y = box["x"] + 9 + (box["width"] - 18) * int(knob) / 100, box["y"] + box["height"] / 2
        tab.mouse.move(x, y)
        tab.mouse.down()
        tab.mouse.move(box["x"] + box["width"] * level, y, steps=4)
        tab.mouse.up()
    expect(tab.get_by_role("heading", name="What if")).to_be_visible()
    expect(tab.locator("output").nth(2)).to_have_text("100 %")
    expect(tab.locator(".banner")).to_contain_text("not what is served")
    assert ids(tab) != served
    assert tab.locator(".move").count() > 0
    tab.get_by_role("link", name="Back to what is served").click()
    expect(tab.get_by_role("heading", name="The list")).to_be_visible()
    assert ids(tab) == served
    assert tab.locator("output").all_inner_texts() == shares


def test_an_answer_that_comes_late_changes_nothing_of_a_newer_list(tab: Page) -> None:
    tab.goto("listener?user_id=listener-01")
    shares = tab.locator("output").all_inner_texts()
    held: list[Route] = []
    tab.route("**/what-if?*", lambda route: held.append(route))  # noqa: PLW0108  (it wants a function)
    with tab.expect_request("**/what-if?*"):
        tab.locator("#fader-0").press("End")
    with tab.expect_response("**/listener?*"):
        tab.get_by_role("link", name="Back to what is served").click()
    expect(tab.locator("#fader-0")).to_have_value(shares[0].split()[0])
    with tab.expect_response("**/what-if?*"):
        held[0].continue_()
    expect(tab.locator("#said")).not_to_be_empty()  # it was taken in
    assert tab.locator("output").all_inner_texts() == shares
    expect(tab.get_by_role("heading", name="The list")).to_be_visible()


def test_the_keyboard_alone_reaches_a_slider_and_moves_it(tab: Page) -> None:
    tab.goto("listener?user_id=listener-01")
    focused = "document.activeElement.id || document.activeElement.textContent"
    tab.keyboard.press("Tab")
    assert tab.evaluate(focused) == "Skip to content"
    tab.keyboard.press("Enter")
    for _ in range(10):
        tab.keyboard.press("Tab")
        if tab.evaluate(focused) == "fader-0":
            break
    assert tab.evaluate(focused) == "fader-0"
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    before = int(tab.locator("#fader-0").input_value())
    tab.keyboard.press("Home")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    expect(tab.locator("#fader-0")).to_have_value("2")
    expect(tab.get_by_role("heading", name="What if")).to_be_visible()
    assert tab.evaluate(focused) == "fader-0"  # the list changed, the hand stays where it was
    assert before != 2


def test_a_liked_item_changes_the_list_and_says_so(tab: Page) -> None:
    tab.goto("listener?user_id=listener-03")
    before = ids(tab)
    tab.get_by_role("button", name="Like").first.click()
    expect(tab.locator("#said")).to_contain_text("Liked.")
    expect(tab.locator(".facts").first).to_contain_text("1 since the version was fitted")
    assert tab.evaluate("document.activeElement.id") == "list-title"
    after = ids(tab)
    assert after != before
    assert tab.locator(".move").count() > 0
    tab.reload()
    assert ids(tab) == after


def test_somebody_new_starts_from_a_like(tab: Page) -> None:
    tab.goto("")
    tab.get_by_role("link", name="Start from a few likes").click()
    tab.get_by_label("Title, creator or id").press_sequentially("track-07")
    results = tab.locator("#results")
    expect(results.get_by_role("button")).to_have_count(1)
    results.get_by_role("button").click()
    expect(tab.locator(".chips li")).to_have_count(1)
    tab.get_by_role("button", name="Show the list").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("A newcomer")
    tab.get_by_role("button", name="Skip").first.click()
    expect(tab.locator("#said")).to_contain_text("Skipped.")


def test_an_experiment_is_begun_and_stopped_after_asking(tab: Page) -> None:
    tab.goto("experiments")
    tab.once("dialog", lambda dialog: dialog.accept())
    tab.get_by_role("button", name="Begin").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("shelf")
    expect(tab.get_by_role("heading", name="mixed against as-is")).to_contain_text("go on")
    with tab.expect_event("dialog") as asked:
        tab.once("dialog", lambda dialog: dialog.accept())
        tab.get_by_role("button", name="Stop for good").click()
    assert asked.value.message == "Stop shelf for good?"
    expect(tab.locator("dl.facts").first).to_contain_text("stopped")


def test_a_version_is_promoted_after_asking_and_not_without(tab: Page) -> None:
    tab.goto("versions")
    first = tab.locator(".serving code").inner_text()
    other = tab.get_by_role("button", name="Promote")
    with tab.expect_event("dialog") as asked:
        tab.once("dialog", lambda dialog: dialog.dismiss())
        other.click()
    assert "serve from now on?" in asked.value.message
    tab.reload()
    assert tab.locator(".serving code").inner_text() == first
    tab.once("dialog", lambda dialog: dialog.accept())
    other.click()
    expect(tab.locator(".serving code")).not_to_have_text(first)
    tab.once("dialog", lambda dialog: dialog.accept())
    tab.get_by_role("button", name="Roll back").click()
    expect(tab.locator(".serving code")).to_have_text(first)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_drawings_stand_out_from_what_is_behind_them(
    browser: Browser, home: str, scheme: Any
) -> None:
    page = browser.new_page(base_url=home, color_scheme=scheme)

    def check() -> None:
        told = page.evaluate(COLOURS)
        assert len(told) >= 3
        for colour, behind, least, where in told:
            assert contrast(colour, behind) >= least, (page.url, where, colour, behind)

    for place in (*PLACES, "login", "no/such/page", "listener?user_id=listener-01"):
        page.goto(place)
        check()
    page.get_by_label("popularity", exact=True).press("End")
    expect(page.locator(".banner")).to_be_visible()
    check()
    page.close()


def test_a_phone_need_not_scroll_sideways(browser: Browser, home: str) -> None:
    page = browser.new_page(base_url=home, viewport=PHONE)  # type: ignore[arg-type]
    for place in PLACES:
        page.goto(place)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], place
    page.close()


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.01)
    assert contrast("rgba(9, 9, 9, 1)", "rgb(9, 9, 9)") == 1
