"""A server on a thread of this process, and a small network for it to serve."""

import io
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

import mnistcore


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A run on the built-in digits."""
    folder = tmp_path_factory.mktemp("served") / "first"
    mnistcore.train(
        mnistcore.TrainConfig(
            data="synthetic", epochs=2, hidden=(32, 16), backend="numpy", output=str(folder)
        )
    )
    return folder


@contextmanager
def serving(runs, **options):
    """A client of a server of these runs; the server is its ``server``, the site its ``site``."""
    import httpx

    from mnistcore.serve.application import make_site
    from mnistcore.serve.server import listen, make_server

    config = mnistcore.ServeConfig(**{"data": "synthetic", "port": 0, "browser": False, **options})
    site = make_site(runs, config)
    with listen(config.host, config.port) as listening:
        server = make_server(site, listening)
        thread = threading.Thread(target=server.run, args=[[listening]])
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with httpx.Client(base_url=address, timeout=60) as client:
                client.site, client.server = site, server
                yield client
        finally:
            server.should_exit = True
            thread.join(60)
        assert not thread.is_alive()


@pytest.fixture(name="serving")
def the_server():
    """A function that serves runs in a context; see :func:`serving`."""
    return serving


@pytest.fixture(scope="session")
def client(run_folder):
    """A client of a server that all tests share."""
    with serving([run_folder]) as client:
        yield client


@pytest.fixture
def empty():
    """A client of a server without a run."""
    with serving([]) as client:
        yield client


@pytest.fixture(scope="session")
def digits():
    return mnistcore.load_data("synthetic")


@pytest.fixture(scope="session")
def drawing(digits):
    """The first test digit, dark on light in a larger picture, as a PNG file."""
    digit = Image.fromarray(255 - digits.test_images[0]).resize((70, 70), Image.BICUBIC)
    paper = Image.new("L", (100, 100), 255)
    paper.paste(digit, (15, 15))
    return png_of(paper)


def png_of(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def blank():
    return png_of(Image.fromarray(np.full((100, 100), 255, np.uint8)))
