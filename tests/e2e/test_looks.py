"""Pages that everybody can use: by keyboard, on a phone, in the dark."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import emptied, signed_in
from tests.e2e.walk import enter
from tests.running_product import eventually

PHONE = {"width": 360, "height": 740}
# The page scrolls sideways exactly when its content is wider than the window.
IS_TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
# What the focus ring of the style sheet looks like on the focused element.
FOCUS = """() => {
  const it = document.activeElement, style = getComputedStyle(it);
  return {
    name: (it.getAttribute("aria-label") || it.innerText || it.id || it.tagName).trim(),
    isRinged: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    isOnScreen: it.getBoundingClientRect().width > 0,
  };
}"""
# Relative luminance and contrast of WCAG 2.2 for text on the nearest painted ground.
LOW_CONTRAST = """() => {
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (let it = element; it; it = it.parentElement) {
      const [r, g, b, a = 1] = parts(getComputedStyle(it).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].filter((it) => it.nodeType === 3 && it.textContent.trim());
    if (!words.length || !element.checkVisibility()) continue;
    const ink = light(parts(getComputedStyle(element).color).slice(0, 3)), paper = light(ground(element));
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(1)} ${words[0].textContent.trim()}`);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def product(running):
    return emptied(running)


@pytest.fixture(scope="module")
def ada(product):
    """Somebody with one connection in every state: working, partly working, in need of its person."""
    person = signed_in(product)
    broken = person.connect("google", "ada")
    person.connect("microsoft", "chiara")
    person.connect(
        "google", "bruno", "calendar.read", "mail.send", unticked=["https://www.googleapis.com/auth/gmail.send"]
    )
    eventually(lambda: product.rows("SELECT count(*) FROM events")[0][0] > 60, within_s=15, what="events")
    token = product.access_token(broken)
    product.let_tokens_age()
    product.control("grants/revoke", provider="google", account="ada")
    # A service's question finds out at once; left alone, the next sync does.
    eventually(lambda: product.exchange(broken, rejected=token).status_code == 400, within_s=20, what="trouble")
    return person


@pytest.fixture
def addresses(product, ada):
    """Addresses of all pages: connections in every state, forms, an error."""
    ones = [f"/connections/{connection_id}" for connection_id in ada.connection_ids()]
    broken = ones[0]
    paths = ["/connections", "/connect", *ones, f"{broken}/repair", f"{broken}/disconnect", "/agenda"]
    paths += ["/docs", "/nowhere"]
    return [f"{product.public_url}{path}" for path in paths]


@pytest.fixture
def signed_in_page(page, watch, ada):
    watch.expected.add(404)
    enter(page, ada)
    return page


def tab_to(page, name, *, within=25):
    """Press Tab until the element of that name has the focus; return all names on the way."""
    seen = []
    for _ in range(within):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        assert focus["isRinged"], f"nobody sees that {focus['name']} has the focus"
        assert focus["isOnScreen"], focus["name"]
        seen.append(focus["name"])
        if focus["name"] == name:
            return seen
    raise AssertionError(f"{name} cannot be reached by Tab: {seen}")


def test_the_keyboard_reaches_the_main_action_and_presses_it(signed_in_page, product):
    page = signed_in_page
    page.goto(f"{product.public_url}/connections")
    way = tab_to(page, "Reconnect: ada@example.com")
    assert way[0] == "Skip to content"
    assert (
        way.index("Connections") < way.index("Calendar") < way.index("Sign out") < way.index("Connect another account")
    )

    page.keyboard.press("Enter")

    page.wait_for_url("**/o/oauth2/**")
    expect(page.get_by_role("heading", name="Latchkey asks for access")).to_be_visible()


def test_the_keyboard_fills_the_connect_form(signed_in_page, product):
    page = signed_in_page
    page.goto(f"{product.public_url}/connect")
    tab_to(page, "f-google-6")

    page.keyboard.press("Space")
    assert page.get_by_label("Send follow-up mails for you").first.is_checked()
    tab_to(page, "Continue to Google", within=2)
    page.keyboard.press("Enter")

    page.wait_for_url("**gmail.send**")


def test_the_skip_link_leads_past_the_navigation(signed_in_page, product):
    page = signed_in_page
    page.goto(f"{product.public_url}/connections")
    tab_to(page, "Skip to content")

    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    assert page.evaluate(FOCUS)["name"] == "Connect another account"


def test_a_refresh_of_the_page_leaves_the_focus_where_it_was(signed_in_page, product):
    page = signed_in_page
    page.goto(f"{product.public_url}/connections")
    tab_to(page, "Details: chiara@alder.example.org")

    with page.expect_response("**/connections/live"):
        pass
    page.wait_for_timeout(200)

    assert page.evaluate(FOCUS)["name"] == "Details: chiara@alder.example.org"


def test_no_page_scrolls_sideways_on_a_phone(signed_in_page, product, addresses):
    page = signed_in_page
    page.set_viewport_size(PHONE)

    for address in addresses:
        page.goto(address)
        assert not page.evaluate(IS_TOO_WIDE), address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(signed_in_page, addresses, scheme):
    page = signed_in_page
    page.emulate_media(color_scheme=scheme)

    for address in addresses:
        page.goto(address)
        assert page.evaluate(LOW_CONTRAST) == [], address


def test_the_dark_scheme_is_dark(signed_in_page, addresses):
    page = signed_in_page
    page.emulate_media(color_scheme="dark")
    page.goto(addresses[0])

    red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(red, green, blue) < 40


def test_the_start_page_is_usable_by_keyboard_and_on_a_phone(page, product):
    page.set_viewport_size(PHONE)
    page.goto(product.public_url)
    assert not page.evaluate(IS_TOO_WIDE)

    tab_to(page, "Sign in with Google")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Choose an account")).to_be_visible()
