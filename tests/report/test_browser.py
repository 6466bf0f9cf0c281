"""The report of the project's own runs in a real browser, opened from disk."""

import contextlib
from pathlib import Path

import pytest
from helpers import record, row
from waits import Patience

from analysis.claims.claim import article
from analysis.report.files import write_report
from analysis.report.page import render
from raybs.config import TrainSweep
from raybs.config.keys import state_keys
from raybs.store.opening import open_store

CHROMIUM = Path("/usr/bin/chromium")
WIDE, PHONE = {"width": 1400, "height": 1000}, {"width": 390, "height": 844}
TABLET = {"width": 820, "height": 1180}
PATIENCE = 300_000.0
"""Milliseconds for what takes one second where a page is fast."""
MARKS = ".role-mark path:not([opacity='0']), .role-mark line"
FIGURE = "[id='lr_compensation-curves']"
PANEL = f"{FIGURE} .concat_0_group"
LABELS = ["64 @ 0.01 x 30", "1024 @ 0.01 x 30", "1024 @ 0.1 x 30"]


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        pytest.skip("Debian's chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory, reference):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, render(open_store(reference), article()))
    return path


@contextlib.contextmanager
def opened(browser, path, *, viewport=WIDE, scheme="light", touch=False):
    """A page without an error, that asks for nothing but its own file."""
    page = browser.new_page(viewport=viewport, color_scheme=scheme, has_touch=touch)
    page.set_default_timeout(PATIENCE)
    problems, addresses = [], set()
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: addresses.add(request.url.split("?")[0]))
    page.goto(path.as_uri())
    yield page
    page.close()
    assert problems == []
    assert addresses == {path.as_uri()}


def drawn(page, figure):
    """Scroll to a figure, and wait until it is drawn."""
    place = page.locator(figure)
    place.scroll_into_view_if_needed()
    place.locator("svg").wait_for()
    return place


def draw_all(page):
    """Draw all figures: the name of each, its number of marks, how far it juts out."""
    for figure in page.locator("figure").all():
        figure.scroll_into_view_if_needed()
        figure.locator("svg, .broken").first.wait_for()
    return page.locator("figure").evaluate_all(
        """(figures, marks) => figures.map((figure) => [
            figure.id,
            figure.querySelectorAll(marks).length,
            (figure.querySelector("svg")?.getBoundingClientRect().width ?? 0)
                - figure.getBoundingClientRect().width,
        ])""",
        MARKS,
    )


def strong(page):
    """Return which of a panel's means are not faded, in the legend's order.

    They are drawn last, above the lines of single seeds.
    """
    opacities = page.locator(f"{PANEL} .mark-line path").evaluate_all(
        "lines => lines.map(line => Number(line.getAttribute('opacity') ?? 1))"
    )
    means = opacities[-len(LABELS) :]
    assert len(means) == len(LABELS)
    return [opacity == 1 for opacity in means]


def wait(page, condition, value):
    """Wait until a condition of the page gives `value`, and say what it gave else."""
    patience = Patience()
    while (current := condition(page)) != value and patience.lasts(current):
        page.wait_for_timeout(100)
    assert current == value


def ticks(page):
    return page.locator(f"{PANEL} .role-axis-label text").all_text_contents()


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_page_is_accessible(browser, file, viewport):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with opened(browser, file, viewport=viewport) as page:
        # With one figure: axe-core looks at every mark, which a chart hides from it.
        drawn(page, FIGURE)
        page.locator("[id='finding-2'] summary").click()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            violations = axe.Axe().run(page).response["violations"]
            said = [
                (v["id"], v["impact"], v["nodes"][0]["html"][:300]) for v in violations
            ]
            assert said == []


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "touch"])
@pytest.mark.parametrize(
    "viewport", [WIDE, TABLET, PHONE], ids=["wide", "tablet", "phone"]
)
def test_every_figure_has_marks_and_fits(browser, file, viewport, touch):
    with opened(browser, file, viewport=viewport, touch=touch) as page:
        assert page.evaluate("matchMedia('(pointer: coarse)').matches") == touch
        figures = draw_all(page)
        assert len(figures) > 20
        assert "could not be drawn" not in page.locator("main").inner_text()
        for key, marks, excess in figures:
            assert marks > 0, key
            assert excess <= 0, key
        width, room = page.evaluate(
            "[document.scrollingElement.scrollWidth,"
            " document.documentElement.clientWidth]"
        )
        assert width <= room


def tables(page):
    """Open all tables: the name of each, its own width, and that of its place."""
    page.evaluate(
        "document.querySelectorAll('details:not(td details)')"
        ".forEach((details) => { details.open = true; })"
    )
    return page.locator(".table").evaluate_all(
        """(places) => places.map((place) => [
            place.getAttribute("aria-labelledby"),
            place.scrollWidth,
            place.clientWidth,
        ])"""
    )


def test_no_table_is_cut_off_on_a_wide_page(browser, file):
    with opened(browser, file) as page:
        widths = tables(page)
        assert len(widths) > 40
        assert [name for name, width, room in widths if width > room] == []


def test_a_table_that_is_wider_than_a_phone_scrolls_and_shows_that_it_does(
    browser, file
):
    with opened(browser, file, viewport=PHONE, touch=True) as page:
        widths = tables(page)
        assert max(width - room for _, width, room in widths) > 100
        name = "section-lr_compensation-table-1"
        place = page.locator(f".table[aria-labelledby='{name}']")
        place.scroll_into_view_if_needed()
        styles = place.evaluate(
            "e => [getComputedStyle(e).overflowX, getComputedStyle(e).backgroundImage]"
        )
        assert styles[0] == "auto"
        assert styles[1].count("gradient") == 4  # a shadow on each side, and its cover
        last = place.locator("thead th").last
        before = last.bounding_box()
        assert before["x"] > PHONE["width"]
        place.evaluate("e => { e.scrollLeft = e.scrollWidth; }")
        after = last.bounding_box()
        assert after["x"] + after["width"] <= PHONE["width"]


def test_a_finger_on_a_chart_scrolls_the_page(browser, file):
    with opened(browser, file, viewport=PHONE, touch=True) as page:
        drawn(page, FIGURE)
        box = page.locator(PANEL).first.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        before = page.evaluate("scrollY"), ticks(page)
        finger = page.context.new_cdp_session(page)

        def touch(kind, *points):
            touched = {"type": kind, "touchPoints": points}
            finger.send("Input.dispatchTouchEvent", touched)

        touch("touchStart", {"x": x, "y": y})
        for moved in range(10, 210, 10):
            touch("touchMove", {"x": x, "y": y - moved})
        touch("touchEnd")
        wait(page, lambda page: page.evaluate("scrollY") > before[0] + 100, True)
        assert ticks(page) == before[1]


def test_a_tap_picks_from_a_legend_and_tells_the_values_of_a_mark(browser, file):
    with opened(browser, file, viewport=PHONE, touch=True) as page:
        figure = drawn(page, FIGURE)
        figure.locator(".role-legend-label text").nth(1).tap()
        wait(page, strong, [False, True, False])
        figure.locator(".concat_1_group .mark-symbol path").nth(59).tap(force=True)
        tooltip = page.locator("#vg-tooltip-element.visible")
        tooltip.wait_for()
        assert "1024 @ 0.01 x 30" in tooltip.inner_text()
        figure.locator("figcaption").tap()
        tooltip.wait_for(state="detached")


@pytest.mark.parametrize(
    ("viewport", "least"),
    [(WIDE, 6), (TABLET, 6), (PHONE, 0)],
    ids=["wide", "tablet", "phone"],
)
def test_names_on_a_front_lie_over_no_point_legend_edge_or_other_name(
    browser, file, viewport, least
):
    with opened(browser, file, viewport=viewport) as page:
        figure = drawn(page, "[id='fashion-front-1']")
        names, others, [panel] = (
            figure.locator(marks).evaluate_all(
                "marks => marks.map((mark) => mark.getBoundingClientRect().toJSON())"
            )
            for marks in (
                "svg .mark-text.role-mark text",
                "svg .mark-symbol.role-mark path, svg .role-legend",
                "svg path.background >> nth=0",
            )
        )
        assert len(names) >= least
        assert len(others) > 200
        for number, name in enumerate(names):
            assert panel["left"] <= name["left"]
            assert panel["top"] <= name["top"]
            for other in others + names[:number]:
                assert (
                    name["right"] <= other["left"]
                    or other["right"] <= name["left"]
                    or name["bottom"] <= other["top"]
                    or other["bottom"] <= name["top"]
                )


def test_hovering_a_mark_tells_its_values(browser, file):
    with opened(browser, file) as page:
        figure = drawn(page, FIGURE)
        figure.locator(".concat_1_group .mark-symbol path").nth(59).hover(force=True)
        tooltip = page.locator("#vg-tooltip-element.visible")
        tooltip.wait_for()
        text = " ".join(tooltip.inner_text().split())
        assert "label 1024 @ 0.01 x 30 epoch 30 mean 95.078 lower 94.980" in text


def test_a_legend_picks_a_curve_and_fades_the_others(browser, file):
    with opened(browser, file) as page:
        figure = drawn(page, FIGURE)
        assert strong(page) == [True, True, True]
        figure.locator(".role-legend-label text").nth(1).click()
        wait(page, strong, [False, True, False])
        assert (
            figure.locator("select").evaluate("e => e.selectedOptions[0].text")
            == (LABELS[1])
        )
        figure.get_by_role("button", name="Reset view").click()
        wait(page, strong, [True, True, True])
        assert figure.locator("select").input_value() == "null"


def test_a_pick_of_what_html_escapes_outlives_a_change_of_theme(browser, file):
    with opened(browser, file) as page:
        figure = drawn(page, "[id='recovery-curves']")
        figure.locator(".role-legend-label text").filter(has_text=">").first.click()
        choice = figure.locator("select")

        def chosen(page):
            return choice.evaluate("e => e.selectedOptions[0]?.text")

        wait(page, lambda page: "->" in chosen(page), True)
        before = chosen(page)
        figure.locator("svg").evaluate("e => e.classList.add('old')")
        page.emulate_media(color_scheme="dark")
        figure.locator("svg:not(.old)").wait_for()
        wait(page, chosen, before)
        faded = figure.locator(".concat_0_group .mark-line path[opacity]")
        wait(page, lambda page: faded.count() > 0, True)


def test_the_keyboard_alone_picks_and_resets(browser, file):
    with opened(browser, file) as page:
        figure = drawn(page, FIGURE)
        figure.get_by_label("Show").focus()
        page.keyboard.press("ArrowDown")
        wait(page, strong, [True, False, False])
        page.keyboard.press("ArrowDown")
        wait(page, strong, [False, True, False])
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        wait(page, strong, [True, True, True])
        focused = page.evaluate("document.activeElement.textContent")
        assert focused == "Reset view"


def test_zooming_changes_an_axis_and_a_reset_restores_it(browser, file):
    with opened(browser, file) as page:
        drawn(page, FIGURE)
        before = ticks(page)
        page.locator(f"{PANEL} > g > path.background").first.hover(force=True)
        page.keyboard.down("Control")
        page.mouse.wheel(0, -400)
        page.keyboard.up("Control")
        wait(page, lambda page: ticks(page) != before, True)
        page.locator(FIGURE).get_by_role("button", name="Reset view").click()
        wait(page, ticks, before)


def test_a_chart_is_saved_as_it_is_shown(browser, file):
    with opened(browser, file) as page:
        figure = drawn(page, FIGURE)
        with page.expect_download() as download:
            figure.get_by_role("button", name="Save as SVG").click()
        assert download.value.suggested_filename == "lr_compensation-curves.svg"
        text = Path(download.value.path()).read_text()
        assert text.startswith("<svg")
        assert LABELS[1] in text


def test_a_dark_theme_reaches_open_charts_and_paper_stays_white(browser, file):
    with opened(browser, file) as page:
        drawn(page, FIGURE)

        def color(page):
            return page.locator(f"{PANEL} .role-axis-label text").first.get_attribute(
                "fill"
            )

        light = color(page)
        page.emulate_media(color_scheme="dark")
        wait(page, lambda page: color(page) != light, True)
        undrawn = page.locator("figure:not(:has(svg))")
        assert undrawn.count() > 0
        page.pdf()
        wait(page, lambda page: undrawn.count(), 0)


def test_a_chart_that_cannot_be_drawn_says_so(browser, file, tmp_path):
    broken = tmp_path / "broken.html"
    text = file.read_text()
    at = text.index('"mark":{"type":"line"')
    broken.write_text(text[:at] + '"mark":{"type":"lime"' + text[at + 21 :])
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(broken.as_uri())
    said = page.locator(".broken").first
    page.locator("figure").first.scroll_into_view_if_needed()
    said.wait_for()
    assert "This chart could not be drawn: " in said.inner_text()
    page.close()


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def test_names_of_a_stranger_stay_text_in_legends_and_tooltips(
    browser, store, subset, tmp_path
):
    config = subset.config((64, 0.1, 2), dataset="<img src=x onerror=alert(1)>.npz")
    record(store, "evil", TrainSweep(configs=(config,)), title=EVIL)
    keys = state_keys(config, "f")
    store.write_rows([row(keys[k], k, 0.5 + k / 10) for k in range(3)])
    path = tmp_path / "report.html"
    write_report(path, render(store, article()))
    with opened(browser, path) as page:
        dialogs = []
        page.on("dialog", lambda dialog: dialogs.append(dialog.dismiss()))
        figure = drawn(page, "[id='evil-curves']")
        figure.locator(".mark-symbol path").first.hover(force=True)
        tooltip = page.locator("#vg-tooltip-element.visible")
        tooltip.wait_for()
        assert "<img src=x onerror=alert(1)>.npz" in tooltip.inner_text()
        assert page.locator("img").count() == 0
        assert dialogs == []


def test_an_open_page_follows_its_file_until_the_last_time(
    browser, store, subset, tmp_path
):
    config = subset.config((64, 0.1, 4))
    keys = state_keys(config, "f")
    record(store, "recovery", TrainSweep(configs=(config,)))
    path = tmp_path / "report.html"

    def write(epoch, follow):
        store.write_rows([row(keys[epoch], epoch, 0.5 + epoch / 10)])
        write_report(path, render(store, article(), follow=follow))

    write(0, 0.2)
    write(1, 0.2)
    with opened(browser, path, viewport=PHONE) as page:
        figure = drawn(page, "[id='recovery-curves']")
        figure.get_by_label("Show").select_option(index=1)
        page.locator("[id='trials-recovery'] > summary").click()
        page.locator("[id='section-far_enough'] h2").scroll_into_view_if_needed()
        page.get_by_text("Live: last written at").wait_for(state="attached")

        def state(page):
            return page.evaluate(
                """() => [
                    document.getElementById('trials-recovery').open,
                    document.querySelector('#section-far_enough h2')
                        .getBoundingClientRect().top,
                    document.querySelector('figure select').selectedIndex,
                    document.activeElement.textContent.split(':')[0],
                ]"""
            )

        before = state(page)
        middle = pytest.approx(PHONE["height"] / 2, abs=400)
        assert before == [True, middle, 1, "recovery"]
        before[1] = pytest.approx(before[1], abs=3)
        write(2, 0.2)
        rows = page.locator("[id='trials-recovery'] td")
        rows.get_by_text("2 of 4").wait_for()
        wait(page, state, before)
        write(3, None)
        rows.get_by_text("3 of 4").wait_for()
        wait(page, state, before)
        # Nothing on the page looks at the file any more.
        assert page.locator("#follow").text_content() == "null"
        assert page.locator("iframe").count() == 0
        assert page.locator("#live").is_hidden()
