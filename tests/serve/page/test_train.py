"""The tab Train: a training is started, watched, found again after a reload, paused and stopped."""

import os
import re

import numpy as np
import pytest

pytestmark = pytest.mark.slow

NOTHING = "\N{EN DASH}"


def points(page, curve):
    """Return how many points a curve has."""
    return int(page.locator(curve).get_attribute("data-points") or 0)


def start(page, epochs, expect):
    page.get_by_role("tab", name="Train").click()
    expect(page.locator("#optimizer")).to_have_value("adam")
    page.locator("#epochs").fill(str(epochs))
    page.get_by_role("button", name="Start training").click()


def wait_for(page, state):
    page.wait_for_selector(f'#live[data-state="{state}"]')


def test_a_network_learns_to_97_percent_before_ones_eyes(open_page, bare_address, expect):
    """From a page without a network to one that draws with the network just trained."""
    page = open_page(bare_address)
    expect(page.get_by_role("button", name="Train one now")).to_be_visible()
    start(page, 6, expect)
    wait_for(page, "training")
    seen = {curve: points(page, curve) for curve in ("#accuracy-curve", "#loss-curve")}
    pictures = [page.locator("#accuracy-curve").screenshot()]
    wait_for(page, "finished")
    for curve, before in seen.items():
        expect(page.locator(curve)).to_have_attribute(
            "aria-label", re.compile("training .* unseen ")
        )
        assert points(page, curve) > before + 5
    pictures.append(page.locator("#accuracy-curve").screenshot())
    assert pictures[0] != pictures[1]
    least = 97 if os.environ.get("MNISTCORE_DATA_DIR") else 90  # the built-in digits are harder
    assert float(page.locator("#accuracy").inner_text().rstrip("%")) > least
    expect(page.locator("#accuracy-words")).to_have_text("of the test images right")
    expect(page.locator("#confusion td.right")).to_have_count(10)
    expect(page.locator("#weights canvas")).to_have_count(64)
    assert page.locator("#wrong li").count() > 5
    page.get_by_role("button", name="Draw with it").click()
    expect(page.locator("#model-facts")).to_contain_text("109,386 parameters")
    expect(page.locator("#pad")).to_be_focused()


def test_a_drawing_is_read_again_as_the_network_learns(open_page, address, draw, expect):
    page = open_page(address)
    start(page, 500, expect)
    expect(page.locator("#weights canvas")).to_have_count(64)
    page.get_by_role("tab", name="Draw").click()
    job = page.locator("#model option", has_text="job").last.get_attribute("value")
    page.locator("#model").select_option(job)
    draw(page, 3)
    expect(page.locator("#spoken")).to_contain_text("3, ")
    for _ in range(2):
        with page.expect_response(lambda response: "/api/explain" in response.url):
            pass  # nobody draws
    page.get_by_role("tab", name="Train").click()
    page.get_by_role("button", name="Stop").click()
    wait_for(page, "stopped")


def test_a_reload_finds_the_training_again(open_page, address, expect):
    page = open_page(f"{address}#train")
    start(page, 500, expect)
    expect(page.locator("#weights canvas")).to_have_count(64)
    page.get_by_role("button", name="Pause").click()
    wait_for(page, "paused")
    had = points(page, "#loss-curve")
    epoch = page.locator("#state-epoch").inner_text()
    page.reload()
    wait_for(page, "paused")
    assert points(page, "#loss-curve") >= had  # a slow page was told of the latest points alone
    expect(page.locator("#state-epoch")).to_have_text(epoch)
    expect(page.locator("#weights canvas")).to_have_count(64)
    page.get_by_role("button", name="Resume").click()
    wait_for(page, "training")
    expect(page.locator("#state-epoch")).not_to_have_text(epoch)
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    page.get_by_role("button", name="Stop").click()
    wait_for(page, "stopped")
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()


def test_a_reload_shows_what_a_training_came_to(open_page, address, expect):
    page = open_page(f"{address}#train")
    start(page, 1, expect)
    wait_for(page, "finished")
    accuracy = page.locator("#accuracy").inner_text()
    page.reload()
    wait_for(page, "finished")
    expect(page.locator("#weights canvas")).to_have_count(64)
    expect(page.locator("#confusion td.right")).to_have_count(10)
    expect(page.locator("#accuracy")).to_have_text(accuracy)
    expect(page.locator("#accuracy-words")).to_have_text("of the test images right")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1100  # as wide as the window


def test_a_page_that_nobody_sees_keeps_no_connection(open_page, address, expect):
    """A browser has six to a server; the training is found again when the page is seen."""
    page = open_page(f"{address}#train")
    start(page, 500, expect)
    expect(page.locator("#weights canvas")).to_have_count(64)
    see = """(value) => {
        Object.defineProperty(document, "hidden", { value, configurable: true });
        document.dispatchEvent(new Event("visibilitychange")); }"""
    page.evaluate(see, True)
    epoch = page.locator("#state-epoch").inner_text()
    page.wait_for_timeout(1500)
    expect(page.locator("#state-epoch")).to_have_text(epoch)
    page.evaluate(see, False)
    expect(page.locator("#state-epoch")).not_to_have_text(epoch)
    page.get_by_role("button", name="Stop").click()
    wait_for(page, "stopped")


def test_refused_events_are_asked_for_again(open_page, address, expect):
    page = open_page(f"{address}#train", expected_errors=["503"])
    refused = set()

    def refuse(route):
        again = route.request.url in refused
        refused.add(route.request.url)
        return route.continue_() if again else route.fulfill(status=503)

    page.route("**/events", refuse)
    start(page, 500, expect)
    expect(page.locator("#state")).to_have_text("Compiling the kernels")  # as the answer says
    expect(page.locator("#weights canvas")).to_have_count(64)
    page.get_by_role("button", name="Stop").click()
    wait_for(page, "stopped")


def test_an_old_answer_does_not_end_the_view_of_a_training(open_page, address, expect):
    """It tells of a training of another window; the page has begun one of its own meanwhile."""
    page = open_page(f"{address}#train")
    expect(page.locator("#optimizer")).to_have_value("adam")
    page.evaluate(
        """async () => {
        const headers = { "content-type": "application/json" }, body = '{"epochs": 1}';
        const answer = await fetch("/api/jobs", { method: "POST", headers, body });
        const { id } = await answer.json();
        const ended = ({ id: other, state }) => other === id && state === "finished";
        while (!(await (await fetch("/api/jobs")).json()).jobs.some(ended))
          await new Promise((resolve) => setTimeout(resolve, 50)); }"""
    )
    page.evaluate(
        """() => { const real = fetch; let late = true;
        window.fetch = async (path, options) => {
          const answer = await real(path, options);
          if (path !== "/api/jobs" || options.method || !late) return answer;
          late = false;
          while (!window.go) await new Promise((resolve) => setTimeout(resolve, 10));
          document.body.dataset.late = "arrived";
          return answer;
        }; }"""
    )
    page.get_by_role("tab", name="Train").click()  # asks what there is
    start(page, 500, expect)
    wait_for(page, "training")
    page.evaluate("window.go = true")
    expect(page.locator("body")).to_have_attribute("data-late", "arrived")
    page.wait_for_timeout(500)
    wait_for(page, "training")
    page.get_by_role("button", name="Stop").click()
    wait_for(page, "stopped")


def test_what_cannot_be_trained_is_said(open_page, address, expect):
    page = open_page(f"{address}#train", expected_errors=["400"])
    expect(page.locator("#optimizer")).to_have_value("adam")
    page.locator("#learning_rate").fill("-1")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#settings-error")).to_contain_text("Learning rate")
    expect(page.locator("#learning_rate")).to_be_focused()
    page.locator("#learning_rate").fill("0.01")
    page.locator("#network").select_option("own")
    page.get_by_label("Units of each hidden layer").fill("64, many")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#settings-error")).to_contain_text("whole numbers")
    page.get_by_label("Units of each hidden layer").fill("100000")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#settings-error")).to_contain_text("2,048")


def test_lanes_race(open_page, address, expect):
    page = open_page(f"{address}#race")
    expect(page.get_by_role("checkbox", name="NumPy")).to_be_visible()  # all() does not wait
    for lane in page.locator("#lanes input").all():
        lane.set_checked(False)
    for name in ("NumPy", "pure Python"):
        page.get_by_role("checkbox", name=name).check()
    page.get_by_role("button", name="Start the race").click()
    fast = page.locator("#lanes li.first .name")
    expect(fast).to_have_text("NumPy")
    page.reload()
    expect(fast).to_have_text("NumPy")
    page.locator("#race-stop").dispatch_event("click")  # on a busy machine the race may be over
    expect(page.get_by_role("button", name="Race again")).to_be_enabled()
    page.reload()  # a race that is over shows what came of it
    expect(fast).to_have_text("NumPy")
    expect(page.get_by_role("button", name="Race again")).to_be_enabled()
    times = page.locator("#lanes li.first .times").inner_text()
    assert float(times.removesuffix("\N{MULTIPLICATION SIGN}").replace(",", "")) > 1


def test_two_windows_show_the_same_training(open_page, address, expect):
    """The second is told that it must wait, and shows what it waits for."""
    second = open_page(f"{address}#train", expected_errors=["409"])
    expect(second.locator("#optimizer")).to_have_value("adam")
    first = open_page(address)
    start(first, 500, expect)
    wait_for(first, "training")
    second.get_by_role("button", name="Start training").click()
    expect(second.locator("#settings-error")).to_contain_text("is being trained already")
    wait_for(second, "training")
    second.get_by_role("button", name="Stop").click()
    wait_for(first, "stopped")


def test_a_server_that_is_started_again_has_forgotten_its_training(
    open_page, serving, tmp_path, expect
):
    with serving(tmp_path) as address:
        page = open_page(f"{address}#train", expected_errors=["ERR_", "404"])
        start(page, 500, expect)
        wait_for(page, "training")
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    with serving(tmp_path, port=address.rstrip("/").rpartition(":")[2]):
        expect(page.locator("#state-detail")).to_contain_text("started again")
        expect(page.locator("#accuracy")).to_have_text(NOTHING)
        expect(page.locator("#rate")).to_have_text(NOTHING)
        expect(page.locator("#weights canvas")).to_have_count(0)
        expect(page.get_by_role("button", name="Start training")).to_be_enabled()


def test_images_of_another_size(open_page, serving, tmp_path, expect):
    """They are learned and shown, and cannot be drawn."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (300, 8, 6), np.uint8), np.arange(300) % 3
    np.savez(tmp_path / "small.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    with serving(tmp_path, "--data", "small.npz") as address:
        page = open_page(f"{address}#train")
        start(page, 2, expect)
        wait_for(page, "finished")
        wrong = page.locator("#wrong canvas").first
        expect(wrong).to_have_attribute("width", "6")
        expect(wrong).to_have_attribute("height", "8")
        expect(page.locator("#confusion td.right")).to_have_count(3)
        expect(page.get_by_role("button", name="Draw with it")).to_be_hidden()
        expect(page.locator("#network option").first).to_have_text("none: 48\N{EN DASH}3")
        page.get_by_role("tab", name="Draw").click()
        page.get_by_role("button", name="Train one now").click()
        expect(page.locator("#no-model-words")).to_contain_text("cannot be drawn")


def test_another_server_shows_its_own_trainings(open_page, serving, tmp_path, expect):
    """It may have been started while nobody asked, and calls its first training job-1 too."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (300, 8, 6), np.uint8), np.arange(300) % 3
    np.savez(tmp_path / "small.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    with serving(tmp_path) as address:
        page = open_page(f"{address}#train")
        start(page, 1, expect)
        wait_for(page, "finished")
        page.locator("#seed").fill("7")
    port = address.rstrip("/").rpartition(":")[2]
    with serving(tmp_path, "--data", "small.npz", port=port):
        page.get_by_role("tab", name="Train").click()
        expect(page.locator("#data-facts")).to_contain_text("300 images to learn from")
        expect(page.locator("#state-detail")).to_contain_text("started again")
        expect(page.locator("#seed")).to_have_value("7")  # it offers the same choices
