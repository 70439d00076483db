"""The demo's page in a real Chromium: pointers, fingers and keys draw digits, and it reads every one of them."""

import os
import shutil
import threading
from types import SimpleNamespace

import pytest
from digit_strokes import STROKES, placed

from tinygrad_cnn.kernels import threads

pytest.importorskip("flask", reason="Flask is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tinygrad_cnn.demo import server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDTHS = (375, 800, 1280)
PATIENCE = 20  # seconds for the page to show something

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium or its driver is not installed"),
]


@pytest.fixture(scope="module")
def address():
    before = threads.get_num_threads()
    threads.set_num_threads(1)
    with server.bind(0) as listening:
        serving = server.make_server(server.load(server.shipped_weights()), listening)
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://{server.HOST}:{serving.port}/"
        serving.shutdown()
        thread.join()
    threads.set_num_threads(before)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER, env={**os.environ, "SE_AVOID_STATS": "true"}))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, address):
    """The page, fresh; afterwards the console must be empty."""
    resize(browser, 1280)
    browser.get(address)

    def find(name):
        return browser.find_element(By.ID, name)

    WebDriverWait(browser, PATIENCE).until(lambda _: len(find("bars").find_elements(By.TAG_NAME, "button")) == 10)
    yield SimpleNamespace(browser=browser, find=find)
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def resize(browser, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def draw(page, drawing, kind="mouse"):
    """Strokes with a real pointer; drawing them whole is one action for the browser."""
    page.browser.execute_script("arguments[0].scrollIntoView()", page.find("paper"))
    box = page.browser.execute_script(
        "const box = arguments[0].getBoundingClientRect(); return [box.left, box.top, box.width]", page.find("paper")
    )
    actions = ActionBuilder(page.browser, mouse=PointerInput(kind, kind), duration=0)
    for stroke in drawing:
        (start, *others) = [(round(box[0] + x * box[2]), round(box[1] + y * box[2])) for x, y in stroke]
        actions.pointer_action.move_to_location(*start).pointer_down()
        for point in others:
            actions.pointer_action.move_to_location(*point)
        actions.pointer_action.pointer_up()
    actions.perform()


def reads(page, digit):
    """Whether the page says so, within a while."""
    verdict = page.find("verdict")
    WebDriverWait(page.browser, PATIENCE, 0.05).until(
        lambda _: verdict.get_dom_attribute("data-digit") == str(digit), f"the {digit} was never read"
    )
    return True


def says(page, name, text):
    """Wait until the text of an element has these words, and return it."""
    found = page.find(name)
    WebDriverWait(page.browser, PATIENCE, 0.05).until(lambda _: text in found.text, f"{name}: {text!r} never came")
    return found.text


def ink(page, name):
    """How many different colours a canvas shows: 1 for an empty one."""
    return page.browser.execute_script(
        "const shown = document.getElementById(arguments[0]), { width, height } = shown;"
        "const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });"
        "copy.drawImage(shown, 0, 0);"
        "return new Set(new Uint32Array(copy.getImageData(0, 0, width, height).data.buffer)).size", name
    )  # fmt: skip


@pytest.mark.parametrize("places", [[(0.1, 0.1, 0.8)], [(0.02, 0.45, 0.5), (0.65, 0.03, 0.3), (0.5, 0.5, 0.5)]])
def test_ten_digits_drawn_with_the_mouse_are_recognised(page, places):
    for digit in STROKES:
        page.find("clear").click()
        says(page, "verdict", "Nothing drawn yet")
        draw(page, placed(digit, *places[digit % len(places)]))
        assert reads(page, digit)


def test_a_finger_on_a_phone_draws(page):
    resize(page.browser, 375)
    for digit in (2, 5):
        page.find("clear").click()
        says(page, "verdict", "Nothing drawn yet")
        draw(page, placed(digit, 0.15, 0.15, 0.7), kind="touch")
        assert reads(page, digit)
        assert page.browser.execute_script("return document.getElementById('seen').sheet.stack.shares.length") == 784


def press(page, keys):
    page.browser.switch_to.active_element.send_keys(keys)


def test_the_keyboard_draws_and_clears(page):
    page.browser.execute_script("arguments[0].focus()", page.find("paper"))
    press(page, Keys.ARROW_LEFT * 6 + Keys.SPACE + Keys.ARROW_RIGHT * 12 + Keys.ARROW_DOWN * 22 + Keys.SPACE)
    assert reads(page, 7)
    assert page.find("pen").text == "Pen up."
    press(page, Keys.ARROW_LEFT * 30)  # with the pen up, nothing is drawn
    assert reads(page, 7)
    press(page, Keys.DELETE)
    says(page, "verdict", "Nothing drawn yet")


def test_undo_takes_the_last_stroke_back(page):
    draw(page, placed(1, 0.1, 0.1, 0.8))
    assert reads(page, 1)
    draw(page, placed(0, 0.1, 0.1, 0.8))
    page.find("undo").click()
    assert reads(page, 1)


def test_tab_reaches_everything(page):
    reached = []
    for _ in range(40):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        focused = page.browser.switch_to.active_element
        reached.append(focused.get_dom_attribute("id") or focused.tag_name)
    assert {"paper", "clear", "undo", "button", "layer", "map", "place", "result", "made-0", "made-3"} <= set(reached)
    names = page.browser.execute_script(
        "return [...document.querySelectorAll('canvas')].filter((c) => !c.getAttribute('aria-label')).length"
    )
    assert names == 0


def test_a_press_on_a_class_shows_what_pulls_it(page):
    draw(page, placed(3, 0.1, 0.1, 0.8))
    assert reads(page, 3)
    assert ink(page, "pull") == 1
    eight = page.find("bars").find_elements(By.TAG_NAME, "button")[8]
    eight.click()
    says(page, "pull-text", "the score of 8")
    assert eight.get_dom_attribute("aria-pressed") == "true" and ink(page, "pull") > 50
    eight.click()
    says(page, "pull-text", "Press a class")
    assert eight.get_dom_attribute("aria-pressed") == "false" and ink(page, "pull") == 1


def test_the_slider_the_arrows_and_the_pointer_choose_a_neuron(page):
    draw(page, placed(3, 0.1, 0.1, 0.8))
    assert reads(page, 3)
    assert "25 products" in says(page, "sum", "row 13, column 13")
    page.find("place").send_keys(Keys.ARROW_RIGHT)
    says(page, "sum", "row 13, column 14")
    page.find("result").send_keys(Keys.ARROW_DOWN)
    says(page, "sum", "row 14, column 14")
    page.find("made-0").send_keys(Keys.ARROW_LEFT)
    says(page, "sum", "row 14, column 13")
    page.find("layer").send_keys(Keys.ARROW_DOWN)
    assert "The largest of 4" in says(page, "sum", "row 7, column 7")
    page.browser.execute_script("arguments[0].scrollIntoView()", page.find("made-3"))
    actions = ActionBuilder(page.browser, duration=0)
    actions.pointer_action.move_to(page.find("made-3"), 10, 10)  # from the middle, which may lie between two maps
    actions.perform()
    says(page, "sum", "500 products")
    assert page.find("layer").get_property("value") == "3"
    page.find("layer").send_keys(Keys.END)
    assert "100 products" in says(page, "sum", "the neuron of 0")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_in_light_and_dark(page, width, scheme):
    emulate = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", emulate)
    resize(page.browser, width)
    draw(page, placed(8, 0.1, 0.1, 0.8))
    assert reads(page, 8)
    wide, smallest, back = page.browser.execute_script(
        "const sizes = [...document.querySelectorAll('body *')].filter((e) => e.innerText && e.offsetParent)"
        ".map((e) => parseFloat(getComputedStyle(e).fontSize));"
        "const { backgroundColor } = getComputedStyle(document.body);"
        "return [document.documentElement.scrollWidth, Math.min(...sizes), backgroundColor]"
    )
    assert wide <= width and smallest >= 13
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")
    for name in ("seen", "under", "result", "products", "made-0", "kept-1", "made-8"):
        assert ink(page, name) > 3
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
