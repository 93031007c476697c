"""What holds for the whole page: it fits, is usable without a mouse, and says when it is alone."""

import pytest

pytestmark = pytest.mark.slow

TABS = ("Draw", "Train", "Race")
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="session")
def axe(consumer):
    """Checks of accessibility: axe-core."""
    consumer("axe_playwright_python")
    from axe_playwright_python.sync_playwright import Axe

    return Axe()


def test_nothing_is_wider_than_the_screen(open_page, address, draw, expect):
    page = open_page(address)
    draw(page, 8)
    page.locator("#other-model").select_option(index=1)
    expect(page.locator("#other-digit")).to_have_text("8")
    for width in (360, 390, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        for tab in TABS:
            page.get_by_role("tab", name=tab).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_axe_finds_nothing_serious(open_page, address, draw, axe, expect):
    page = open_page(address, color_scheme="dark", reduced_motion="reduce")
    draw(page, 5)
    page.locator("#other-model").select_option(index=1)
    expect(page.locator("#other-digit")).to_have_text("5")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("html")).to_have_attribute("data-theme", scheme)
        for tab in TABS:
            page.get_by_role("tab", name=tab).click()
            found = axe.run(page).response["violations"]
            assert [each["id"] for each in found if each["impact"] in SERIOUS] == []


def test_keys_alone_reach_everything(open_page, address, expect):
    """Arrow keys change the tab, the Tab key reaches every control, and the focus is visible."""
    page = open_page(address)
    expect(page.locator("#model-facts")).to_contain_text("parameters")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.get_by_role("tab", name="Draw").focus()
    for tab in ("Train", "Race", "Draw"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=tab)).to_be_focused()
        expect(page.get_by_role("tabpanel", name=tab)).to_be_visible()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "[document.activeElement.id, getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert name == "" or outline == "solid", name
        reached.append(name)
    for name in ("theme", "model", "other-model", "pad", "thickness", "open"):
        assert name in reached


def test_the_theme_is_remembered(open_page, address, expect):
    page = open_page(address, color_scheme="light")
    page.get_by_role("button", name="Dark colours").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_a_lost_server_is_said_and_found_again(open_page, address, draw, expect):
    page = open_page(address, expected_errors=["ERR_FAILED"])
    page.route("**/api/**", lambda route: route.abort())
    page.route("**/healthz", lambda route: route.abort())
    draw(page, 6)
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    page.unroute("**/api/**")
    page.unroute("**/healthz")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.locator("#digit")).to_have_text("6")  # what was drawn meanwhile is read


def test_one_click_trains_a_first_network(open_page, bare_address, draw, expect):
    page = open_page(bare_address)
    page.get_by_role("button", name="Train one now").click()
    expect(page.locator("#model-facts")).to_contain_text("of the test images right")
    draw(page, 7)
    expect(page.locator("#digit")).to_have_text("7")
