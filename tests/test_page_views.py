"""The page by hand: pointers, fingers and keys draw and choose; numbers are Python's; the console stays empty."""

import json

import numpy as np
import pytest
from chromium import emulate, launch, needs_chromium
from digit_strokes import STROKES, placed
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

import tinygrad_cnn as tg
from tinygrad_cnn.autograd.engine import backward_pass
from tinygrad_cnn.inspection.explain import article_example
from tinygrad_cnn.page import shipped_weights

PATIENCE = 20  # seconds for the page to show something

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = launch(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "net.html"
    tg.to_page(tg.load(shipped_weights()), path)
    return path.as_uri()


class Page:
    def __init__(self, browser):
        self.browser = browser

    def find(self, name):
        return self.browser.find_element(By.ID, name)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def press(self, name):
        self.run("document.getElementById(arguments[0]).click()", name)

    def says(self, name, text):
        """Wait until the text of an element has these words, and return it."""
        found = self.find(name)
        message = f"{name}: {text!r} never came"
        WebDriverWait(self.browser, PATIENCE, 0.05).until(lambda _: text in found.text, message)
        return found.text

    def reads(self, digit):
        """Wait until the verdict is this digit."""
        verdict = self.find("verdict")
        WebDriverWait(self.browser, PATIENCE, 0.05).until(
            lambda _: verdict.get_dom_attribute("data-class") == str(digit), f"the {digit} was never read"
        )
        return True

    def draw(self, drawing, kind="mouse"):
        """Draw strokes with a real pointer; they are one action for the browser."""
        box = self.run(
            "const paper = document.getElementById('paper'); paper.scrollIntoView();"
            "const box = paper.getBoundingClientRect(); return [box.left, box.top, box.width]"
        )
        actions = ActionBuilder(self.browser, mouse=PointerInput(kind, kind), duration=0)
        for stroke in drawing:
            (start, *others) = [(round(box[0] + x * box[2]), round(box[1] + y * box[2])) for x, y in stroke]
            actions.pointer_action.move_to_location(*start).pointer_down()
            for point in others:
                actions.pointer_action.move_to_location(*point)
            actions.pointer_action.pointer_up()
        actions.perform()

    def colours(self, name):
        """How many different colours a canvas shows."""
        return self.run(
            "const shown = document.getElementById(arguments[0]), { width, height } = shown;"
            "const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });"
            "copy.drawImage(shown, 0, 0);"
            "return new Set(new Uint32Array(copy.getImageData(0, 0, width, height).data.buffer)).size", name
        )  # fmt: skip


@pytest.fixture
def page(browser, address):
    """The page, fresh; afterwards the console must be empty, and nothing was asked for but the file itself."""
    emulate(browser)
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get(address)
    yield Page(browser)
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [address]


@pytest.fixture
def paper(page):
    """The view of the network, with an empty paper."""
    page.press("tab-network")
    page.press("clear")
    page.says("verdict", "Nothing is drawn yet")
    return page


def test_the_example_has_the_numbers_of_python(page):
    cost, layer = article_example()
    for k in range(int(page.find("example-range").get_dom_attribute("max"))):
        assert page.find("example-title").text.startswith(f"{k + 1}. ")
        page.press("example-next")
    assert not page.find("example-next").is_enabled()
    x = next(t for t in _leaves(cost) if t.shape == (3, 3))
    grads = backward_pass(cost, tg.Tensor(np.float32(1)), [x, layer.w, layer.b], retain_graph=True, record=False)
    expected = {id(t): g.data.ravel() for t, g in grads}
    for name, t in (("dw", layer.w), ("db", layer.b), ("dinput", x)):
        shown = [float(c.text.replace("−", "-")) for c in page.find(f"grid-{name}").find_elements(By.TAG_NAME, "td")]
        np.testing.assert_allclose(shown, expected[id(t)], atol=5.1e-4)
    assert f"from {cost.item():.4f} to" in page.find("example-sum").text
    cell = page.find("grid-z").find_elements(By.TAG_NAME, "td")[0]
    page.run("arguments[0].click()", cell)
    assert page.find("example-sum").text == "z = 0.1·0.1 + 0.2·0.2 + 0.4·0.3 + 0.5·0.4 + 0.1 = 0.47"
    page.run("arguments[0].focus()", cell)
    page.browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert page.find("example-sum").text.startswith("z = 0.4·0.1 + 0.5·0.2")


def _leaves(t):
    return [t] if t.node is None else [leaf for x in t.node.inputs for leaf in _leaves(x)]


@pytest.mark.parametrize("places", [[(0.1, 0.1, 0.8)], [(0.02, 0.45, 0.5), (0.65, 0.03, 0.3), (0.5, 0.5, 0.5)]])
def test_ten_digits_drawn_with_the_mouse_are_recognised(paper, places):
    for digit in STROKES:
        paper.press("clear")
        paper.says("verdict", "Nothing is drawn yet")
        paper.draw(placed(digit, *places[digit % len(places)]))
        assert paper.reads(digit)


def test_a_finger_on_a_phone_draws(paper):
    emulate(paper.browser, 375)
    for digit in (2, 5):
        paper.press("clear")
        paper.says("verdict", "Nothing is drawn yet")
        paper.draw(placed(digit, 0.15, 0.15, 0.7), kind="touch")
        assert paper.reads(digit)


def test_the_keyboard_draws_and_clears(paper):
    paper.run("document.getElementById('paper').focus()")

    def press(keys):
        paper.browser.switch_to.active_element.send_keys(keys)

    press(Keys.ARROW_LEFT * 6 + Keys.SPACE + Keys.ARROW_RIGHT * 12 + Keys.ARROW_DOWN * 22 + Keys.SPACE)
    assert paper.reads(7)
    assert paper.find("pen").text == "Pen up."
    press(Keys.ARROW_LEFT * 30)  # with the pen up, nothing is drawn
    assert paper.reads(7)
    press(Keys.DELETE)
    paper.says("verdict", "Nothing is drawn yet")


def test_undo_takes_the_last_stroke_back(paper):
    paper.draw(placed(1, 0.1, 0.1, 0.8))
    assert paper.reads(1)
    paper.draw(placed(0, 0.1, 0.1, 0.8))
    paper.press("undo")
    assert paper.reads(1)


@pytest.mark.parametrize("ink", ["dark", "light"])
def test_pictures_of_digits_on_uneven_paper_are_recognised(paper, tmp_path, ink):
    image_module = pytest.importorskip("PIL.Image")
    draw_module = pytest.importorskip("PIL.ImageDraw")
    paper.run("document.getElementById('picture').classList.remove('hidden')")
    for digit in (0, 2, 3, 5, 7):
        shade = np.linspace(150, 225, 300)[None] + np.linspace(0, 25, 400)[:, None]
        image = image_module.fromarray((shade if ink == "dark" else 255 - shade).astype(np.uint8))
        pen = draw_module.Draw(image)
        for stroke in placed(digit, 0, 0, 1):
            points = [(60 + 180 * x, 90 + 220 * y) for x, y in stroke]
            pen.line(points, 40 if ink == "dark" else 235, 16, "curve")
        path = tmp_path / f"{digit}.png"
        image.save(path)
        paper.find("picture").send_keys(str(path))
        assert paper.reads(digit)
        paper.press("clear")
        paper.says("verdict", "Nothing is drawn yet")


def test_what_is_no_picture_is_said(paper, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    paper.run("document.getElementById('picture').classList.remove('hidden')")
    paper.find("picture").send_keys(str(tmp_path / "text.png"))
    paper.says("pen", "text.png: this browser reads no picture from it.")


def test_a_neuron_its_sum_and_its_gradient(paper):
    paper.draw(placed(3, 0.1, 0.1, 0.8))
    assert paper.reads(3)
    assert "25 products" in _chosen(paper, "made-0", 0, (5, 10, 11))
    assert "map 6, row 11, column 12" in paper.find("neuron-title").text
    paper.find("made-0").send_keys(Keys.ARROW_RIGHT)
    paper.says("neuron-title", "map 6, row 11, column 13")
    assert "Press Backward" in paper.find("neuron-back").text
    paper.press("backward")
    said = paper.says("neuron-back", "Only the neuron that passed its activation on can change the cost.")
    assert "dC/dz slides over the previous layer as a filter." in said
    assert "the largest of 4 numbers" in _chosen(paper, "made-1", 1, (2, 3, 3))
    assert "500 products" in _chosen(paper, "made-3", 3, (7, 2, 2))
    assert "100 products" in _chosen(paper, "made-9", 9, (8, 0, 0))
    assert "the neuron of 8" in paper.find("neuron-title").text
    paper.find("neuron-title").find_element(By.XPATH, "..").find_element(By.ID, "neuron-close").click()
    assert not paper.find("neuron-title").is_displayed()


def _chosen(page, canvas, k, place):
    """Point at a neuron, and return the sum that made it."""
    page.run("document.getElementById(arguments[0]).scrollIntoView({ block: 'center' })", canvas)
    x, y, cell = page.run(
        "const canvas = document.getElementById(arguments[0]), box = canvas.getBoundingClientRect();"
        "const [x, y] = cornerOf(canvas.sheet, ...arguments[1]); return [box.left + x, box.top + y, canvas.sheet.cell]",
        canvas, place,
    )  # fmt: skip
    actions = ActionBuilder(page.browser, duration=0)
    actions.pointer_action.move_to_location(round(x + cell / 2), round(y + cell / 2)).pointer_down().pointer_up()
    actions.perform()
    assert page.run("return seen.chosen.k") == k
    return page.find("neuron-sum").text


def test_the_gradient_comes_back_layer_by_layer(paper):
    paper.draw(placed(5, 0.1, 0.1, 0.8))
    assert paper.reads(5)
    arrived = "return [...document.querySelectorAll('.layer.reached')].map((layer) => layer.id)"
    assert paper.run(arrived) == []
    layers = ["layer-9", "layer-8", "layer-7", "layer-5", "layer-4", "layer-3", "layer-2", "layer-1", "layer-0"]
    for k, _ in enumerate(layers, 1):
        paper.press("one-back")
        assert set(paper.run(arrived)) == set(layers[:k])
    paper.press("one-back")
    assert "The gradient has reached the image." in paper.find("commands-text").text
    assert not paper.find("one-back").is_enabled()
    shown = [element.text for element in paper.find("back-3").find_elements(By.CLASS_NAME, "rule")]
    node = tg.correlate2d(
        tg.Tensor(np.ones((1, 1, 2, 2)), requires_grad=True), tg.Tensor(np.ones((1, 1, 1, 1)), requires_grad=True)
    ).node
    assert any(node.sentence(0).partition(": ")[2][1:] in text for text in shown)
    paper.press("forward")
    assert paper.run(arrived) == []
    paper.press("backward")
    assert len(paper.run(arrived)) == 10


def test_a_frame_with_gradients_is_quick(paper):
    paper.draw(placed(5, 0.1, 0.1, 0.8))
    assert paper.reads(5)
    script = """
    const times = [];
    for (let k = 0; k < 9; k++) {
      const begin = performance.now();
      seen.run = seen.net.run(seen.image);
      computeGradients();
      seen.reached = -1;
      showLayers();
      times.push(performance.now() - begin);
    }
    return Math.min(...times)"""
    assert paper.run(script) < 50


def test_an_edited_weight_counts_and_is_put_back(paper):
    paper.draw(placed(3, 0.1, 0.1, 0.8))
    assert paper.reads(3)
    scores = "return [...seen.run.output.data]"
    before = paper.run(scores)
    _chosen(paper, "made-0", 0, (5, 10, 11))
    assert not paper.find("restore").is_enabled()
    field = paper.find("weight")
    paper.run("arguments[0].scrollIntoView({ block: 'center' })", field)
    field.clear()
    field.send_keys("1.5")
    network = tg.load(shipped_weights()).eval()
    next(network.parameters()).writable()[5, 0, 0, 0] = 1.5
    image = np.array(paper.run("return [...seen.image]"), np.float32).reshape(1, 1, 28, 28)
    np.testing.assert_allclose(paper.run(scores), network(tg.Tensor(image)).data[0], rtol=1e-4, atol=1e-4)
    paper.press("restore")
    assert paper.run(scores) == before


def test_a_training_step_moves_the_weights_as_python_does(paper):
    paper.draw(placed(4, 0.1, 0.1, 0.8))
    assert paper.reads(4)
    Select(paper.find("label")).select_by_visible_text("9")
    paper.press("step")
    said = paper.says("commands-text", "the cost of 9 went from")
    network = tg.load(shipped_weights()).eval()
    image = np.array(paper.run("return [...seen.image]"), np.float32).reshape(1, 1, 28, 28)
    optimizer = tg.optim.SGD(network.parameters(), 0.05)
    loss = tg.cross_entropy(network(tg.Tensor(image)), [9])
    loss.backward()
    optimizer.step()
    assert f"went from {loss.item():.3g} to" in said
    for name, p in network.named_parameters():
        moved = paper.run("return [...window.network.state[arguments[0]].data.subarray(0, 2000)]", name)
        np.testing.assert_allclose(moved, p.data.ravel()[:2000], rtol=1e-5, atol=1e-6)
    assert paper.colours("moved-0") > 10


def test_a_press_on_a_class_shows_what_pulls_it(paper):
    paper.draw(placed(3, 0.1, 0.1, 0.8))
    assert paper.reads(3)
    eight = paper.find("bars").find_elements(By.TAG_NAME, "button")[8]
    paper.run("arguments[0].click()", eight)
    paper.says("pull-text", "Pulls 8 up or down")
    assert eight.get_dom_attribute("aria-pressed") == "true" and paper.colours("pull") > 50
    assert paper.find("label").get_property("value") == "8"


def test_a_network_trained_in_the_page_reads_95_of_100_digits_in_10_seconds(page):
    page.press("tab-training")
    page.press("train-start")
    status = page.find("train-status")
    WebDriverWait(page.browser, 60, 0.1).until(lambda _: "95 % after" in status.text, "95 % were never reached")
    page.press("train-start")
    assert float(status.text.rpartition("95 % after ")[2].split()[0]) < 10
    assert min(page.colours(name) for name in ("train-cost", "train-curve", "train-filters", "train-samples")) > 5
    page.press("train-use")
    page.says("layers", "of 8×8")
    assert page.find("which").is_displayed()
    page.press("clear")
    page.draw(placed(0, 0.1, 0.1, 0.8))
    assert page.reads(0)


def test_tabs_and_everything_else_are_reached_with_keys(page):
    page.run("document.getElementById('tab-example').focus()")
    page.browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert page.browser.switch_to.active_element.get_dom_attribute("id") == "tab-network"
    assert page.find("view-network").is_displayed() and not page.find("view-example").is_displayed()
    reached = set()
    for _ in range(45):
        ActionChains(page.browser, duration=0).send_keys(Keys.TAB).perform()
        focused = page.browser.switch_to.active_element
        reached.add(focused.get_dom_attribute("id") or focused.tag_name)
    assert {"paper", "clear", "undo", "picture", "button", "label", "backward", "step", "made-0", "made-3"} <= reached
    names = page.run(
        "return [...document.querySelectorAll('canvas')].filter((c) => !c.getAttribute('aria-label')"
        " && !c.getAttribute('aria-labelledby')).length"
    )
    assert names == 0


@pytest.mark.parametrize("width", [375, 800, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_in_light_and_dark(page, width, scheme):
    emulate(page.browser, width, scheme)
    for view in ("example", "network", "training"):
        page.press(f"tab-{view}")
        if view == "network":
            page.press("backward")
            page.run("choose({ k: 3, at: 100 })")
        wide, smallest, back = page.run(
            "const sizes = [...document.querySelectorAll('body *')].filter((e) => e.innerText && e.offsetParent"
            " && e.tagName !== 'SUP').map((e) => parseFloat(getComputedStyle(e).fontSize));"
            "const { backgroundColor } = getComputedStyle(document.body);"
            "return [document.documentElement.scrollWidth, Math.min(...sizes), backgroundColor]"
        )
        assert wide <= width and smallest >= 13
        assert (back == "rgb(245, 245, 247)") == (scheme == "light")
