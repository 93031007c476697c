"""Configuration files, and notes of the cache."""

import json

from mnistcore.data.cache import VerifiedCache
from mnistcore.search.config import SearchConfig, make_plan, read_file
from mnistcore.training.config import TrainConfig, given_options

from .target import Target


def _config_seeds():
    toml = b'epochs = 3\nhidden = [64, 32]\noptimizer = "adam"\nlog = ["csv"]\naugment = true\n'
    search = (
        b"[search]\ntrials = 9\n[space]\nlearning_rate = {low = 1e-4, high = 1.0, log = true}\n"
    )
    search += b'activation = ["relu", "tanh"]\nhidden = ["64-32", "9"]\n[train]\nepochs = 2\n'
    return [
        {"x.toml": toml}, {"x.json": json.dumps({"epochs": 3, "dropout": [0.1, 0.2]}).encode()},
        {"search.toml": search},
    ]  # fmt: skip


def _read_options(path):
    if path.name == "search.toml":
        settings, space, train = read_file(path)
        make_plan(SearchConfig(**settings), space, train)
    else:
        TrainConfig(**given_options({}, path))


def _cache_seeds():
    stamps = [[9, 1, 2], [9, 3, 4]]
    notes = {"files": stamps, "copies": {"/data": stamps}}
    failed = {"time": 2e9, "failures": {"https://mirror": "503"}}
    return [{"verified.json": json.dumps(notes).encode(),
             "download-failed.json": json.dumps(failed).encode()}]  # fmt: skip


def _read_cache(folder):
    cache = VerifiedCache(folder, ("0" * 64,) * 4)
    assert cache.load() is None
    cache.knows([folder / "verified.json"])
    cache.failed_download()


TARGETS = {
    "config": Target(_config_seeds, _read_options, (ValueError, TypeError)),
    "cache": Target(_cache_seeds, _read_cache, (), folder=True),
}
