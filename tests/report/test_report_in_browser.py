"""The page in a real browser: silent, without network, sorted and filtered by mouse and keyboard, in both schemes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: sync_api.Browser, made: tuple[Path, str]) -> Iterator[sync_api.Page]:
    """The report, opened from disk; when a test is through, nothing was complained of and nothing else asked for."""
    complaints: list[str] = []
    asked: list[str] = []
    with browser.new_page(viewport={"width": 1200, "height": 900}) as page:
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        address = (made[0] / "report.html").as_uri()
        page.goto(address)
        yield page
        assert complaints == []
        assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [address]


def column(table: sync_api.Locator, index: int) -> list[float]:
    """The numbers of a column as they stand, those that are not known left out."""
    script = f"rows => rows.map(row => row.cells[{index}].dataset.value).filter(value => value !== '').map(Number)"
    return table.locator("tbody tr").evaluate_all(script)


def scores_in_detail(page: sync_api.Page) -> sync_api.Locator:
    page.get_by_text("With intervals, best evaluations and values").evaluate(
        "summary => summary.parentElement.open = true"
    )
    return page.get_by_role("region", name="Every dataset and headline method, scores ×100").locator("table")


def test_every_image_is_shown(page):
    sizes = page.locator("img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert len(sizes) > 10 and all(sizes)


def test_a_header_sorts_by_number_both_ways(page):
    table = scores_in_detail(page)
    returns = table.get_by_role("columnheader", name="Return")
    assert returns.get_attribute("aria-sort") is None
    returns.get_by_role("button").click()
    rising = column(table, 7)
    assert len(rising) > 5 and rising == sorted(rising) and rising != sorted(rising, key=str)
    assert returns.get_attribute("aria-sort") == "ascending"
    returns.get_by_role("button").click()
    assert column(table, 7) == rising[::-1] and returns.get_attribute("aria-sort") == "descending"
    table.get_by_role("columnheader", name="Method").get_by_role("button").click()
    names = table.locator("tbody tr td:nth-child(2)").all_inner_texts()
    assert names == sorted(names, key=str.lower) and returns.get_attribute("aria-sort") is None


def test_what_is_not_known_is_sorted_to_the_end(page):
    table = scores_in_detail(page)
    predicted = table.get_by_role("columnheader", name="Predicted").get_by_role("button")
    for _ in range(2):
        predicted.click()
        texts = table.locator("tbody tr td:nth-child(9)").all_inner_texts()
        known = [text != "–" for text in texts]
        assert not all(known) and known == sorted(known, reverse=True)


def test_the_filter_leaves_rows_with_every_word(page):
    table = scores_in_detail(page)
    line = table.locator("xpath=ancestor::div[@role='region']/preceding-sibling::div[@class='filter']")
    everything = table.locator("tbody tr").count()
    line.get_by_label("Show rows with").fill("MEDIUM cql")
    shown = table.locator("tbody tr").filter(visible=True).all_inner_texts()
    assert 0 < len(shown) < everything and all("medium" in row and "CQL" in row for row in shown)
    assert line.get_by_role("status").inner_text() == f"{len(shown)} of {everything} rows"
    line.get_by_label("Show rows with").fill("")
    assert table.locator("tbody tr").filter(visible=True).count() == everything


def test_the_keyboard_reaches_and_sorts(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the answer"
    scores_in_detail(page).get_by_role("columnheader", name="Score").get_by_role("button").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    low = scores_in_detail(page).get_by_role("columnheader", name="Low")
    assert low.get_attribute("aria-sort") == "ascending"
    numbers = column(scores_in_detail(page), 4)
    assert numbers == sorted(numbers)


def background(page: sync_api.Page) -> int:
    """How light the page is, 0 to 255."""
    return page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0])")


def test_both_schemes_and_the_button_between_them(page):
    assert background(page) > 200
    page.emulate_media(color_scheme="dark")
    assert background(page) < 60
    # Figures keep their light ground.
    assert (
        page.locator("img").first.evaluate("image => getComputedStyle(image).backgroundColor") == "rgb(255, 255, 255)"
    )
    button = page.get_by_role("button", name="Light or dark")
    button.click()
    assert background(page) > 200
    button.click()
    assert background(page) < 60
    page.emulate_media(media="print")
    assert background(page) > 200


@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_runs_over_the_edge(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.locator("details").evaluate_all("parts => parts.forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_headings_are_in_order_and_tables_have_captions(page):
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(heading => Number(heading.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    captions = page.locator("table").evaluate_all("all => all.map(table => table.caption?.textContent.trim() ?? '')")
    assert len(captions) > 8 and all(captions)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.emulate_media(color_scheme=scheme)
    page.locator("details").evaluate_all("parts => parts.forEach(part => part.open = true)")
    found = axe.Axe().run(page)
    assert [(rule["id"], len(rule["nodes"]), rule["nodes"][0]["html"]) for rule in found.response["violations"]] == []
