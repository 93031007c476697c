"""The page in a real browser: a server in a process of its own, and Debian's Chromium."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from handwriting import strokes_of

import mnistcore

PATIENCE = 30_000  # milliseconds, on a busy machine
ENDED = set()  # the addresses of servers that have ended; another one may have the same


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A network that reads digits well, trained in a second or two."""
    folder = tmp_path_factory.mktemp("page") / "run"
    real = bool(os.environ.get("MNISTCORE_DATA_DIR"))
    data = {} if real else {"data": "synthetic"}
    mnistcore.train(mnistcore.TrainConfig(recipe="fast", seed=1, output=str(folder), **data))
    return folder


@contextlib.contextmanager
def serving(folder, *arguments, port="0"):
    """Serve in an empty folder, and give the address; without MNIST, the built-in digits."""
    data = [] if os.environ.get("MNISTCORE_DATA_DIR") else ["--data", "synthetic"]
    command = [sys.executable, "-m", "mnistcore.serve", "--port", port, "--no-browser", *data]
    server = subprocess.Popen(
        [*command, *map(str, arguments)], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    address = ""
    try:
        address = server.stdout.readline().split()[0]
        yield address
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)
        ENDED.add(address)


@pytest.fixture(name="serving")
def the_server():
    """A function that serves in a context; see :func:`serving`."""
    return serving


@pytest.fixture(scope="module")
def shared_address(run_folder, tmp_path_factory, browser):
    """Where a server with one trained network serves the page."""
    with serving(tmp_path_factory.mktemp("served"), run_folder) as address:
        yield address


@pytest.fixture
def address(shared_address):
    """The same; what a test that failed left going is stopped, or the next could start nothing."""
    yield shared_address
    for path, key in (("api/jobs", "jobs"), ("api/race", "races")):
        with urllib.request.urlopen(shared_address + path) as answer:
            there = json.load(answer)[key]
        for one in there:
            stop = f"{shared_address}{path}/{one['id']}/stop"
            urllib.request.urlopen(stop, b"").close()


@pytest.fixture
def bare_address(tmp_path, browser):
    """Where a server without a network serves the page."""
    with serving(tmp_path) as address:
        yield address


@pytest.fixture(scope="module")
def browser(consumer):
    """Chromium without a window.

    It is closed after the last test of a module: while it is open, an event loop runs in this
    thread, and no test could start one of its own.
    """
    consumer("playwright")
    chromium = consumer("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's own sandbox needs rights that root in a container does not have.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def expect(browser):
    """Playwright's expectations, which wait; left alone they soon look once a second only."""
    from playwright.sync_api import expect

    class Often:
        def __init__(self, locator):
            self.expected = expect(locator)

        def __getattr__(self, name):
            def wait(*arguments):
                end = time.monotonic() + PATIENCE / 1000
                while True:
                    try:
                        return getattr(self.expected, name)(*arguments, timeout=150)
                    except AssertionError:
                        if time.monotonic() > end:
                            raise

            return wait

    return Often


@pytest.fixture
def open_page(browser):
    """A function that opens an address; the test fails if the page wrote an error anywhere."""
    errors, contexts = [], []

    def open_page(address, *, expected_errors=(), **settings):
        settings = {"viewport": {"width": 1100, "height": 700}, **settings}
        context = browser.new_context(**settings)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()

        def note(text, url=""):
            # A page that waits for news asks on after its server has ended with the test.
            ended = "ERR_CONNECTION_REFUSED" in text and any(map(url.startswith, ENDED))
            if not ended and not any(part in text for part in expected_errors):
                errors.append(text)

        page.on("console", lambda m: m.type == "error" and note(m.text, m.location["url"]))
        page.on("pageerror", lambda error: note(str(error)))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def draw():
    """A function that draws a digit with the mouse, and leaves the button pressed if asked to."""

    def draw(page, digit, lift=True):
        page.locator("#pad").scroll_into_view_if_needed()
        box = page.locator("#pad").bounding_box()
        for stroke in strokes_of(digit):
            side = box["width"]
            places = [(box["x"] + x * side, box["y"] + y * side) for x, y in stroke]
            page.mouse.up()
            page.mouse.move(*places[0])
            page.mouse.down()
            for place in places[1:]:
                page.mouse.move(*place, steps=2)
        if lift:
            page.mouse.up()

    return draw
