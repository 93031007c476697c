"""The tab Draw: what is drawn with mouse, finger or keyboard, or brought as a picture, is read."""

import io
import re

import pytest
from handwriting import strokes_of
from PIL import Image, ImageDraw

import mnistcore

pytestmark = pytest.mark.slow


def ink(page):
    """Return how much of the drawing area is covered."""
    return page.evaluate(
        """() => { const pad = document.getElementById("pad");
        const { data } = pad.getContext("2d").getImageData(0, 0, pad.width, pad.height);
        return data.filter((value, index) => index % 4 === 3 && value > 0).length; }"""
    )


def picture(digit, paper=235, scale=1):
    """Return a PNG of a digit in dark strokes on paper, or on nothing."""
    image = Image.new("L" if paper else "LA", (300 * scale, 240 * scale), paper)
    pen = ImageDraw.Draw(image)
    for stroke in strokes_of(digit):
        places = [(scale * (30 + 240 * x), scale * 240 * y) for x, y in stroke]
        fill = 40 if paper else (0, 255)
        pen.line(places, fill=fill, width=14 * scale, joint="curve")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_ten_digits_are_read(open_page, address, draw, expect):
    page = open_page(address)
    for digit in range(10):
        draw(page, digit, lift=False)
        expect(page.locator("#digit")).to_have_text(str(digit))  # before the pen is lifted
        page.mouse.up()
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#digit")).to_have_text("?")


def test_a_digit_is_explained(open_page, address, draw, expect):
    page = open_page(address)
    idle = page.locator("#diagram").screenshot()
    draw(page, 3)
    expect(page.locator("#digit")).to_have_text("3")
    expect(page.locator("#saliency-caption")).to_have_text("For and against 3")
    expect(page.locator("#bars .likeliest .name")).to_have_text("3")
    shares = page.locator("#bars .share").all_inner_texts()
    total = sum(float(share.strip("<>%")) for share in shares)
    assert total == pytest.approx(100, abs=1)
    assert "its answer is 3" in page.locator("#diagram").get_attribute("aria-label")
    assert page.locator("#diagram").screenshot() != idle
    seen = page.evaluate(
        """() => Array.from(document.getElementById("seen").getContext("2d")
        .getImageData(0, 0, 28, 28).data.filter((_, index) => index % 4 === 0))"""
    )
    assert len(seen) == 784
    assert max(seen) > 200
    assert seen.count(0) > 500
    expect(page.locator("#spoken")).to_contain_text("3, ")
    expect(page.locator("#timing")).to_have_text(re.compile(r"read it in \d+ ms"))


def test_undo_and_thickness(open_page, address, draw, expect):
    page = open_page(address)
    draw(page, 4)
    whole = ink(page)
    page.locator("#thickness").fill("12")
    assert ink(page) > 1.3 * whole
    page.locator("#thickness").fill("7")
    assert ink(page) == whole
    page.get_by_role("button", name="Undo").click()
    assert 0.4 * whole < ink(page) < 0.9 * whole
    page.locator("#pad").press("Control+z")
    assert ink(page) == 0
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    expect(page.locator("#digit")).to_have_text("?")


def test_a_finger_draws_and_does_not_scroll(open_page, address, expect):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = open_page(address, **phone)
    touch = page.context.new_cdp_session(page)
    box = page.locator("#pad").bounding_box()
    for stroke in strokes_of(7):
        places = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in stroke
        ]
        for kind, place in [("touchStart", places[0]), *(("touchMove", p) for p in places)]:
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [place]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("#digit")).to_have_text("7")
    assert page.evaluate("scrollY") == 0


def test_the_keyboard_alone_draws(open_page, address, expect):
    page = open_page(address)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "pad":
            break
    page.keyboard.press("Space")
    for _ in range(16):
        page.keyboard.press("ArrowDown")
    expect(page.locator("#digit")).to_have_text("1")
    page.keyboard.press("Delete")
    expect(page.locator("#digit")).to_have_text("?")


def test_pictures_are_read(open_page, address, expect):
    page = open_page(address)
    file = {"name": "five.png", "mimeType": "image/png", "buffer": picture(5)}
    page.locator("#file").set_input_files(file)
    expect(page.locator("#digit")).to_have_text("5")
    expect(page.locator("#pad-picture")).to_be_visible()
    for digit, way in ((4, "drop"), (2, "paste")):
        page.evaluate(
            """([bytes, way]) => {
            const carried = new DataTransfer();
            carried.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
            const event = way === "drop"
              ? new DragEvent(way, { dataTransfer: carried, bubbles: true, cancelable: true })
              : new ClipboardEvent(way, { clipboardData: carried, bubbles: true });
            document.getElementById("pad").dispatchEvent(event);
            }""",
            [list(picture(digit)), way],
        )
        expect(page.locator("#digit")).to_have_text(str(digit))
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#pad-picture")).to_be_hidden()


def test_a_large_picture_keeps_what_is_transparent(open_page, address, expect):
    page = open_page(address)
    buffer = picture(7, paper=0, scale=6)
    file = {"name": "seven.png", "mimeType": "image/png", "buffer": buffer}
    page.locator("#file").set_input_files(file)
    expect(page.locator("#digit")).to_have_text("7")


def test_the_last_picture_is_the_one_that_is_read(open_page, address, draw, expect):
    """Whichever is made ready first; and a stroke comes after a picture that is not ready."""
    page = open_page(address)
    page.evaluate(
        """() => { const real = createImageBitmap;
        window.createImageBitmap = async (file) => {
          while (file.name === "slow.png" && !window.go)
            await new Promise((resolve) => setTimeout(resolve, 10));
          return real(file);
        }; }"""
    )
    slow = {"name": "slow.png", "mimeType": "image/png", "buffer": picture(5)}
    quick = {"name": "quick.png", "mimeType": "image/png", "buffer": picture(2)}
    page.locator("#file").set_input_files(slow)
    page.locator("#file").set_input_files(quick)
    expect(page.locator("#digit")).to_have_text("2")
    page.evaluate("window.go = true")
    page.wait_for_timeout(1000)
    expect(page.locator("#digit")).to_have_text("2")
    page.get_by_role("button", name="Clear").click()
    page.evaluate("window.go = false")
    page.locator("#file").set_input_files(slow)
    draw(page, 7)
    page.evaluate("window.go = true")
    page.wait_for_timeout(1000)
    expect(page.locator("#digit")).to_have_text("7")
    expect(page.locator("#pad-picture")).to_be_hidden()


def test_a_picture_stays_as_it_was_chosen(open_page, address, tmp_path, expect):
    """Its file may be edited, and the pen's thickness may change."""
    page = open_page(address)
    path = tmp_path / "five.png"
    path.write_bytes(picture(5))
    page.locator("#file").set_input_files(path)
    expect(page.locator("#digit")).to_have_text("5")
    path.write_bytes(picture(3) + b"more")
    page.locator("#thickness").fill("12")
    expect(page.locator("#pad-picture")).to_be_visible()
    page.locator("#other-model").select_option(index=1)  # the picture is read again
    expect(page.locator("#other-digit")).to_have_text("5")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_an_answer_for_a_picture_says_nothing_of_strokes(open_page, address, draw, expect):
    page = open_page(address)
    page.evaluate(
        """() => { const real = fetch; let late = true;
        window.fetch = async (path, options) => {
          const answer = await real(path, options);
          if (!path.startsWith("/api/explain") || !late) return answer;
          late = false;
          document.body.dataset.late = "answered";
          while (!window.go) await new Promise((resolve) => setTimeout(resolve, 10));
          return answer;
        };
        window.seen = [];
        const digit = document.getElementById("digit");
        const note = () => seen.push(digit.textContent);
        new MutationObserver(note).observe(digit, { childList: true });
        }"""
    )
    file = {"name": "five.png", "mimeType": "image/png", "buffer": picture(5)}
    page.locator("#file").set_input_files(file)
    expect(page.locator("body")).to_have_attribute("data-late", "answered")
    draw(page, 7, lift=False)
    page.evaluate("window.go = true")
    expect(page.locator("#digit")).to_have_text("7")
    page.mouse.up()
    assert "5" not in page.evaluate("seen")


def test_what_is_no_picture_is_refused_in_words(open_page, address, expect):
    page = open_page(address, expected_errors=["400"])
    file = {"name": "five.png", "mimeType": "image/png", "buffer": b"not a picture"}
    page.locator("#file").set_input_files(file)
    expect(page.locator("#verdict-words")).to_contain_text("picture")
    expect(page.locator("#digit")).to_have_text("?")


def test_two_models_read_the_same_drawing(open_page, address, draw, expect):
    page = open_page(address)
    draw(page, 2)
    expect(page.locator("#other-digit")).to_be_hidden()
    page.locator("#other-model").select_option(index=1)
    expect(page.locator("#other-digit")).to_have_text("2")
    expect(page.locator("#bars .theirs").first).to_be_visible()


@pytest.fixture(scope="module")
def reversed_folder(tmp_path_factory):
    """A network whose classes are the digits from 9 to 0."""
    folder = tmp_path_factory.mktemp("reversed") / "backwards"
    config = {"recipe": "fast", "epochs": 1, "seed": 1, "data": "synthetic", "output": str(folder)}
    names = tuple("9876543210")
    mnistcore.train(mnistcore.TrainConfig(class_names=names, **config))
    return folder


def test_bars_beside_each_other_are_of_the_same_class(
    open_page, serving, tmp_path, run_folder, reversed_folder, draw, expect
):
    with serving(tmp_path, run_folder, reversed_folder) as address:
        page = open_page(address)
        draw(page, 3)
        expect(page.locator("#digit")).to_have_text("3")
        page.locator("#other-model").select_option("run-2")
        expect(page.locator("#other-digit")).to_have_text(re.compile("[0-9]"))
        lengths = page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll("#bars li")].map((row) =>
            [row.querySelector(".name").textContent,
            parseFloat(row.querySelector(".theirs .bar").style.transform.slice(7))]))"""
        )
        assert max(lengths, key=lengths.get) == page.locator("#other-digit").inner_text()


def test_another_server_is_noticed(
    open_page, serving, tmp_path, run_folder, reversed_folder, draw, expect
):
    """Its first network is run-1 too; it is not shown under the name and the classes of the old."""
    with serving(tmp_path, run_folder) as address:
        page = open_page(address)
        expect(page.locator("#model option:checked")).to_have_text("run")
        # The page asks for the data until it is there, and then for nothing.
        expect(page.locator("#data-facts")).to_contain_text("images to learn from")
    with serving(tmp_path, reversed_folder, port=address.rstrip("/").rpartition(":")[2]):
        draw(page, 3)
        expect(page.locator("#model option:checked")).to_have_text("backwards")
        expect(page.locator("#bars .name").first).to_have_text("9")
        expect(page.locator("#digit")).to_have_text(re.compile("[0-9]"))
        expect(page.get_by_role("alert")).to_be_hidden()


def test_the_latest_drawing_wins(open_page, address, draw, expect):
    """Answers that come late say nothing about what has been drawn since."""
    page = open_page(address)
    asked = []

    def answer_late(route):
        asked.append(route)
        if len(asked) == 1:
            page.wait_for_timeout(400)
        route.continue_()

    page.route("**/api/explain*", answer_late)
    draw(page, 0)
    page.get_by_role("button", name="Clear").click()
    draw(page, 7)
    expect(page.locator("#digit")).to_have_text("7")
    page.wait_for_timeout(300)
    expect(page.locator("#digit")).to_have_text("7")
    assert len(asked) < 30  # one at a time, not one for each of the pointer's events
