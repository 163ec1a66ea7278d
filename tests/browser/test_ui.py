"""The page around the world in a real browser: joining, chat, people, settings, and who uses what.

All of it goes by what a person sees and presses, and by names that a screen reader would say. Each
test has people of its own, for the server keeps the seats of those whose page was closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from browsing import EFFECT_S_MAX, Server, Visits, chromium, running, until
from playwright.sync_api import Browser, Locator, Page, expect

HOSTILE = '<img src=x onerror="document.title=\'owned\'"><b>@Hal</b>'
HOSTILE_NAME = "<b>Eve</b>"
BLOCKED = """for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("no", "SecurityError"); } });
}"""
TINY = """document.addEventListener("DOMContentLoaded", () => {
  const { style } = document.getElementById("world");
  style.width = "160px";
  style.height = "90px";
});
try {
  localStorage["atrium.settings"] ??= '{"quality":"low"}';
} catch { /* A test that blocks the storage. */ }"""
"""The picture is not what is tried here, and the processor draws it: it need not be large."""
UPRIGHT = {"width": 390, "height": 844}
PHONE: dict[str, Any] = {"viewport": UPRIGHT, "has_touch": True, "is_mobile": True}

UNNAMED = """() => [...document.querySelectorAll(
  'button, a[href], input, select, textarea, [role], canvas, summary, progress, meter')]
  .filter((each) => each.checkVisibility() && each.getAttribute('role') !== 'none')
  .filter((each) => {
    const by = each.getAttribute('aria-labelledby') ?? '';
    const named = by.split(' ').map((id) => document.getElementById(id)?.textContent).join('');
    const labels = [...(each.labels ?? [])].map((label) => label.textContent).join('');
    const own = ['INPUT', 'SELECT', 'TEXTAREA', 'CANVAS'].includes(each.tagName)
      ? '' : each.textContent;
    return !(each.getAttribute('aria-label') || named || labels || own || '').trim();
  }).map((each) => each.outerHTML.slice(0, 120))
  .filter((html) => !/role="(status|alert)"/.test(html))"""
"""What can be used and has no name."""
TWICE = """() => { const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
  return ids.filter((id, at) => ids.indexOf(id) !== at); }"""
ASTRAY = """() => [...document.querySelectorAll(
  '[aria-labelledby], [aria-controls], [aria-describedby], label[for]')].flatMap((each) =>
  ['aria-labelledby', 'aria-controls', 'aria-describedby', 'for'].flatMap((name) =>
  (each.getAttribute(name) ?? '').split(' ').filter((id) => id && !document.getElementById(id))))"""
"""Ids that something refers to and nothing has."""
UNSEEN_FOCUS = """() => { const at = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(at);
  const isSeen = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
  return isSeen || at === document.body ? '' : at.outerHTML.slice(0, 120); }"""
"""What has the focus without showing it; past the last of the page the browser itself has it."""
SPILT = """() => [...document.querySelectorAll('button, input, select')].filter((each) =>
  each.checkVisibility()).filter((each) => { const box = each.getBoundingClientRect();
  return box.right > innerWidth + 1 || box.left < -1; }).map(({ outerHTML }) => outerHTML)"""
"""What can be pressed and lies beside the screen."""
SMALL_TARGETS = """() => [...document.querySelectorAll('#tools button, #chat-toggle')]
  .filter((each) => each.checkVisibility()).filter((each) => {
  const box = each.getBoundingClientRect();
  return box.width < 32 || box.height < 32; }).map((each) => each.id)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("--ephemeral") as started:
        yield started


@pytest.fixture
def visits(browser: Browser, server: Server) -> Iterator[Visits]:
    expect.set_options(timeout=EFFECT_S_MAX * 1000)
    opened = Visits(browser, server.url, {"viewport": {"width": 920, "height": 500}}, [TINY])
    yield opened
    opened.close()


def is_sound(page: Page) -> None:
    """Everything that can be used has a name, and every id is one thing's and is there."""
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(TWICE) == []
    assert page.evaluate(ASTRAY) == []


def lines(page: Page, text: str) -> Locator:
    return page.locator("#chat-log li", has_text=text)


def say(page: Page, text: str) -> None:
    page.fill("#chat-text", text)
    page.press("#chat-text", "Enter")


def open_card(page: Page, name: str) -> None:
    if page.locator("#people").is_hidden():
        page.click("#people-toggle")
    page.locator(".person", has_text=name).click()
    expect(page.locator("#menu")).to_be_visible()


def test_one_joins_uses_and_leaves_by_the_keyboard_alone(visits: Visits) -> None:
    page = visits.open()
    expect(page.locator("#join-name")).to_be_focused()
    is_sound(page)
    page.keyboard.press("Enter")
    expect(page.locator("#join")).to_be_visible()
    page.keyboard.type("Kay")
    page.keyboard.press("Enter")
    until(page, "() => document.body.dataset.link === 'live'")
    expect(page.locator("#world")).to_be_focused()
    expect(page.locator("#place")).to_have_text("The Meeting Place")
    expect(page.locator("#link-state")).to_contain_text("connected")
    page.focus("#link summary")
    page.keyboard.press("Enter")
    expect(page.locator("#round-trip")).to_have_text(re.compile(r"\d+ ms"))
    page.click("#link-state")
    expect(page.locator("#round-trip")).to_be_hidden()
    page.focus("#world")
    page.keyboard.press("Enter")
    page.keyboard.type("all by keys")
    page.keyboard.press("Enter")
    expect(lines(page, "all by keys")).to_have_class(re.compile("published own"))
    page.keyboard.press("ArrowUp")
    expect(page.locator("#chat-text")).to_have_value("all by keys")
    page.keyboard.press("Escape")
    expect(page.locator("#world")).to_be_focused()
    page.keyboard.press("i")
    expect(page.locator("#notices")).to_contain_text("You are in The Meeting Place, facing")
    page.keyboard.press("F1")
    expect(page.locator("#panel-heading")).to_be_focused()
    is_sound(page)
    page.keyboard.press("Escape")
    expect(page.locator("#world")).to_be_focused()
    seen: set[str] = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        assert page.evaluate(UNSEEN_FOCUS) == ""
        seen.add(page.evaluate("() => document.activeElement.id"))
    assert {"safe", "people-toggle", "menu-toggle", "chat-text"} <= seen
    page.focus("#menu-toggle")
    page.keyboard.press("Enter")
    is_sound(page)
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator("#join")).to_be_visible()


def test_what_strangers_write_is_text_and_nothing_else(visits: Visits) -> None:
    visits.join(HOSTILE_NAME)
    hal, eve = visits.join("Hal"), visits.contexts[0].pages[0]
    say(eve, f"{HOSTILE} https://evil.example/x")
    line = lines(hal, HOSTILE)
    expect(line.locator("bdi.text")).to_have_text(f"{HOSTILE} https://evil.example/x")
    expect(line.locator("img, b, a, .link")).to_have_count(0)
    expect(line.locator("mark")).to_have_text("@Hal")
    expect(hal.locator("#notices")).to_contain_text("mentioned you")
    hal.click("#people-toggle")
    assert hal.locator("#people b, #notices b, #notices img").count() == 0
    hal.evaluate("() => atriumTest.settings.set('links', 'ask')")
    say(eve, "again https://xn--80ak6aa92e.example/path?a=b")
    lines(hal, "again").locator(".link").click()
    expect(hal.locator("dialog .address")).to_have_text(
        "https://xn--80ak6aa92e.example/path?a=b")
    is_sound(hal)
    hal.keyboard.press("Escape")
    expect(hal.locator("dialog[open]")).to_have_count(0)
    assert len(hal.context.pages) == 1
    assert "owned" not in hal.title()


def test_people_talk_to_all_to_one_and_by_name(visits: Visits) -> None:
    ann, bob = visits.join("Ann"), visits.join("Bob")
    say(ann, "good morning")
    expect(lines(bob, "good morning")).to_be_visible()
    until(bob, "() => atriumTest.model.people.size > 0")
    bob.focus("#chat-text")
    bob.keyboard.type("@an")
    expect(bob.locator("#chat-names li")).to_have_text(["Ann"])
    bob.keyboard.press("Tab")
    bob.keyboard.type("hello")
    bob.keyboard.press("Enter")
    expect(lines(ann, "@Ann hello")).to_have_class(re.compile("mentions-you"))
    expect(ann.locator("#notices")).to_contain_text("Bob mentioned you: @Ann hello")
    open_card(bob, "Ann")
    is_sound(bob)
    bob.get_by_role("menuitem", name="Write to Ann").click()
    expect(bob.locator("#chat-text")).to_be_focused()
    say(bob, "only you")
    expect(lines(ann, "only you").locator(".tag")).to_have_text("To you")
    ann.click("#chat-toggle")
    say(bob, "and this")
    expect(ann.locator("#chat-unread")).to_have_text("1")
    ann.click("#chat-toggle")
    expect(ann.locator("#chat-unread")).to_be_hidden()
    expect(lines(ann, "and this")).to_be_visible()


def test_what_is_done_to_a_person_is_told_and_can_be_undone(visits: Visits) -> None:
    una, max_ = visits.join("Una"), visits.join("Max")
    until(una, "() => [...atriumTest.model.people.values()].some(({ name }) => name === 'Max')")
    open_card(una, "Max")
    una.get_by_role("menuitem", name="Mute").click()
    expect(una.locator("#notices")).to_contain_text("Max is muted.")
    kept = una.locator(".relation", has_text="Max")
    expect(kept).to_be_visible()
    say(max_, "nobody hears this")
    kept.get_by_role("button", name="Unmute: Max").click()
    expect(kept).to_have_count(0)
    open_card(una, "Max")
    una.get_by_role("menuitem", name="Report").click()
    expect(una.locator("dialog[open] h2")).to_have_text("Report Max")
    is_sound(una)
    una.fill("#report-text", "he shouts")
    una.get_by_role("button", name="Send the report").click()
    expect(una.locator("#notices")).to_contain_text(re.compile("report was sent|cannot do that"))
    una.click("#safe")
    expect(una.locator("#safe")).to_have_attribute("aria-pressed", "true")
    expect(una.locator("#notices")).to_contain_text("Safe zone is on")
    una.click("#safe")
    expect(una.locator("#safe")).to_have_attribute("aria-pressed", "false")


def test_settings_work_at_once_and_outlive_a_reload(visits: Visits) -> None:
    page = visits.join("Sue", locale="en-GB")
    page.keyboard.press("o")
    page.select_option("#setting-language", "zh")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page.locator("#panel-heading")).to_have_text("设置")
    page.fill("#setting-textSize", "1.3")
    page.check("#setting-captions")
    page.select_option("#setting-contrast", "more")
    assert page.evaluate("() => getComputedStyle(document.documentElement).fontSize") == "20.8px"
    page.uncheck("#setting-minimap")
    expect(page.locator("#mini")).to_be_hidden()
    is_sound(page)
    page.reload()
    until(page, "() => document.body.dataset.link === 'live'")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page.locator("html")).to_have_attribute("data-contrast", "more")
    expect(page.locator("#mini")).to_be_hidden()
    expect(page.locator("#chat-text")).to_have_attribute("placeholder", "说点什么（Enter）")
    assert page.evaluate("() => atriumTest.settings.recall('name')") == "Sue"


def test_the_look_is_chosen_worn_and_kept(visits: Visits) -> None:
    page, other = visits.open(), visits.join("Ola")
    page.click("#join-look")
    expect(page.locator("#panel-heading")).to_have_text("Your look")
    expect(page.locator("#join")).to_be_hidden()
    is_sound(page)
    page.select_option("#look-hat", "5")
    page.check("#look-skin-3", force=True)
    page.get_by_role("button", name="Surprise me").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#look-hat")).to_have_value("5")
    expect(page.locator("#look-skin-3")).to_be_checked()
    page.get_by_role("button", name="Wear this").click()
    expect(page.locator("#notices")).to_contain_text("Your look is kept")
    page.keyboard.press("Escape")
    page.fill("#join-name", "Lou")
    page.press("#join-name", "Enter")
    worn = page.evaluate("() => atriumTest.settings.recall('look')")
    assert re.fullmatch(r"a1[\w-]{15}", worn)
    assert until(other, "() => [...atriumTest.model.people.values()]"
                        ".find(({ name }) => name === 'Lou')?.avatar") == worn


def test_a_browser_that_keeps_nothing_is_told_so_once_and_works(visits: Visits) -> None:
    visits.scripts = [BLOCKED, TINY]
    page = visits.join("Nil")
    told = page.locator("#notices li", has_text="This browser keeps nothing")
    expect(told).to_have_count(1)
    say(page, "still here")
    expect(lines(page, "still here")).to_have_class(re.compile("published"))


def test_without_webgl_the_way_leads_to_the_map(visits: Visits) -> None:
    visits.scripts = ["HTMLCanvasElement.prototype.getContext = () => null;"]
    visits.forgiven = ["WebGL", "THREE"]
    page = visits.open()
    expect(page.locator("#join-error")).to_contain_text("cannot draw the world")
    expect(page.get_by_role("link", name="Open the map")).to_have_attribute("href", "/map")


@pytest.mark.parametrize("size", [(390, 844), (844, 390)])
def test_on_a_phone_all_is_in_reach_of_a_thumb(visits: Visits, size: tuple[int, int]) -> None:
    options: dict[str, Any] = {**PHONE, "viewport": {"width": size[0], "height": size[1]}}
    page = visits.open(**options)
    assert page.evaluate(SPILT) == []
    page.fill("#join-name", f"Tom {size[0]}")
    page.tap("#join-enter")
    until(page, "() => document.body.dataset.link === 'live'")
    assert page.evaluate(SPILT) == []
    assert page.evaluate(SMALL_TARGETS) == []
    page.tap("#people-toggle")
    assert page.evaluate(SPILT) == []
    page.tap("#people header button")
    if page.locator("#chat-body").is_hidden():
        page.tap("#chat-toggle")
    say(page, f"from {size[0]} pixels")
    expect(lines(page, f"from {size[0]} pixels")).to_be_visible()
    assert page.evaluate(SPILT) == []


def test_a_thumb_on_the_left_walks(visits: Visits) -> None:
    page = visits.join("Thu", viewport=UPRIGHT, has_touch=True)
    x, z = page.evaluate("() => [atriumTest.model.own.x, atriumTest.model.own.z]")
    touch = """([kind, x, y]) => document.getElementById('world').dispatchEvent(
      new PointerEvent(kind, { pointerId: 7, pointerType: 'touch', clientX: x, clientY: y,
        isPrimary: true, bubbles: true, button: 0 }))"""
    page.evaluate("() => { HTMLElement.prototype.setPointerCapture = () => {}; }")
    page.evaluate(touch, ["pointerdown", 40, 85])
    page.evaluate(touch, ["pointermove", 40, 25])
    expect(page.locator("#touch svg")).to_be_visible()
    until(page, "([x, z]) => Math.hypot(atriumTest.model.own.x - x,"
                " atriumTest.model.own.z - z) > 0.4", [x, z])
    page.evaluate(touch, ["pointerup", 40, 25])
    expect(page.locator("#touch")).to_be_hidden()
    assert page.evaluate("() => atriumTest.page.controls.stick") == {"x": 0, "y": 0}


def test_a_server_that_is_away_is_told_and_found_again(visits: Visits, server: Server) -> None:
    visits.forgiven = ["WebSocket", "ERR_CONNECTION", "Failed to load"]
    page, late = visits.join("Rae"), visits.open()
    server.kill()
    expect(page.locator("#link-state")).to_have_text(re.compile("^reconnecting"))
    expect(page.locator("#notices")).to_contain_text("Your place, your look and unsent words")
    page.fill("#chat-text", "kept")
    page.press("#chat-text", "Enter")
    expect(page.locator("#notices")).to_contain_text("You are not connected just now.")
    expect(page.locator("#chat-text")).to_have_value("kept")
    late.fill("#join-name", "Lee")
    late.press("#join-name", "Enter")
    expect(late.locator("#join-error")).to_contain_text("cannot be reached")
    server.restart()
    # The button is made anew with each try, so it is pressed in the same breath as it is found;
    # a try that was under way may also have been the one that reached the server.
    for each, place in ((late, "#join-ways"), (page, "#notices")):
        until(each, """place => document.body.dataset.link === 'live'
            || [...document.querySelectorAll(place + ' button')]
              .some(each => each.textContent === 'Try now' && (each.click(), true))""", place)
        until(each, "() => document.body.dataset.link === 'live'")
    expect(late.locator("#join")).to_be_hidden()
    expect(page.locator("#notices")).to_contain_text("You are connected again.")
