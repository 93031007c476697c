"""The benchmarks measure what they say: shapes and counts, same work, files, tables, mistakes."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import faulty
import numpy as np
import pytest
from small_digits import write_small_digits

import benchmarks.likeness.__main__ as teach_likeness
import mnistcore
from benchmarks import accuracy, backprop, ceilings, crowded, dense, further, sizes, workloads
from benchmarks.peers import __main__ as peers
from benchmarks.peers import tables
from benchmarks.peers.libraries import LIBRARIES, Job
from benchmarks.peers.libraries.plain_numpy import PlainNumpy
from benchmarks.peers.measure import data_folder
from benchmarks.peers.products import Products
from benchmarks.peers.results import (
    new_results,
    open_results,
    raise_ceilings,
    read_results,
    replace_rows,
    summary,
    write_results,
)
from benchmarks.peers.worker import Assignment, PeerWorker
from mnistcore import get_backend
from mnistcore.kernels import KERNELS
from mnistcore.kernels.layout import OPTIONS_DTYPE
from mnistcore.models.network import Network
from mnistcore.train import TrainingInterrupted
from mnistcore.training.records import Listener

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
NUMBA_KERNELS = "mnistcore.kernels.numba_kernels"
CASES = {
    "adam": sizes.Case((784, 12, 8, 10), "relu", 16, "adam", 0.001, 0, 1),
    "sgd": sizes.Case((784, 10, 10), "tanh", 16, "sgd", 0.1, 0, 1),
}


def make_job(library, case, samples=100):
    rng = np.random.default_rng(0)
    network = Network(case.layer_sizes, case.activation)
    weights = network.views(network.init(rng))
    images = rng.integers(0, 256, (samples, 784), np.uint8)
    labels = rng.integers(0, 10, samples).astype(np.int32)
    return Job(library, case, 1, images, labels, weights)


def load(library, case):
    missing = [name for name in LIBRARIES[library].requires if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    return LIBRARIES[library].load()(make_job(library, case))


def reference_for(library):
    """Our reference; for itself, the loop in plain NumPy."""
    return "numpy" if library == "mnistcore-numpy" else "mnistcore-numpy"


def norm_of_difference(left, right):
    pairs = zip(left, right, strict=True)
    return sum(
        np.linalg.norm(a - b) for one, other in pairs for a, b in zip(one, other, strict=True)
    )


def test_flops_of_a_step_are_those_of_its_products():
    case = CASES["adam"]
    forward = 784 * 12 + 12 * 8 + 8 * 10
    by_inputs = 12 * 8 + 8 * 10
    assert case.flops_per_sample == 2 * (2 * forward + by_inputs)


def test_product_shapes_leave_out_the_gradient_by_the_pixels():
    shapes = sizes.product_shapes((32,))
    assert ("matmul", 32, 128, 784) in shapes
    assert ("matmul_tn", 784, 128, 32) in shapes
    assert ("matmul_nt", 32, 128, 64) in shapes
    assert not any(name == "matmul_nt" and n == 784 for name, _, n, _ in shapes)
    assert len(shapes) == len(set(shapes))


@pytest.mark.parametrize("optimizer", CASES)
@pytest.mark.parametrize(
    "library", [name for name in LIBRARIES if name not in ("keras", "sklearn", "onnxruntime")]
)
def test_a_library_trains_as_the_reference_does(library, optimizer):
    """Weights after two epochs, a partial batch in each, from the same weights and batches."""
    if library == "torch-compile" and not os.environ.get("CI"):
        pytest.skip("compiling takes half a minute; $CI is not set")
    case = CASES[optimizer]
    peer, reference = load(library, case), load(reference_for(library), case)
    before = [(w.copy(), b.copy()) for w, b in reference.weights()]
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(100)
        peer.train(order)
        reference.train(order)
    change = norm_of_difference(reference.weights(), before)
    assert change > 0
    assert norm_of_difference(peer.weights(), reference.weights()) < 1e-3 * change


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_predicts_as_the_reference_does(library):
    if library == "torch-compile" and not os.environ.get("CI"):
        pytest.skip("compiling takes half a minute; $CI is not set")
    case = CASES["adam"]
    peer, reference = load(library, case), load(reference_for(library), case)
    images = np.random.default_rng(5).integers(0, 256, (30, 784), np.uint8)
    np.testing.assert_array_equal(peer.predict(images), reference.predict(images))
    np.testing.assert_array_equal(peer.predict(images[:1]), reference.predict(images[:1]))


@pytest.mark.parametrize("library", ["keras", "sklearn"])
def test_a_library_that_shuffles_starts_from_the_same_weights_and_trains(library):
    case = replace(CASES["sgd"], learning_rate=1e-12)
    peer = load(library, case)
    peer.train(np.arange(100))
    assert norm_of_difference(peer.weights(), peer.job.weights) < 1e-4
    peer = load(library, CASES["sgd"])
    peer.train(np.arange(100))
    assert norm_of_difference(peer.weights(), peer.job.weights) > 0.01


def small(case):
    hidden = (min(16, size) for size in case.layer_sizes[1:-1])
    return replace(case, layer_sizes=(784, *hidden, 10), batch_size=16)


with pytest.MonkeyPatch.context() as _fewer:
    _fewer.setattr(workloads, "UPDATED_NETWORK", small(sizes.DEFAULT_NETWORK))
    ELEMENTWISE = workloads.elementwise_calls()
WORKLOADS = {
    **{name: workloads.product(name, 12, 12, 30) for name in ("matmul", "matmul_tn", "matmul_nt")},
    **ELEMENTWISE,
    **{
        f"training {name}": workloads.Training(small(case), 1)
        for name, case in sizes.NETWORKS.items()
    },
}


def refuses(verify, backend):
    try:
        verify(backend)
    except AssertionError:
        return True
    return False


def test_every_kernel_is_a_workload():
    products = {name for name, *_ in sizes.product_shapes((32,))}
    assert products | set(workloads.elementwise_calls()) == set(KERNELS)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_refuses_every_fault(name):
    verify = WORKLOADS[name].verify
    verify(get_backend("numpy"))
    faults = faulty.faults_against(verify)
    assert {"no-op", "silent", "stale", "array 0 transposed"} < faults.keys()
    accepted = [n for n, fault in faults.items() if not refuses(verify, faulty.Backend(fault))]
    assert accepted == []


def test_training_without_skipping_is_verified_without_it():
    case, seen = small(sizes.DEFAULT_NETWORK), []

    def watch(function):
        def train_steps(*arguments):
            options = next(a for a in arguments if getattr(a, "dtype", None) == OPTIONS_DTYPE)
            seen.append(bool(options["skip_zeros"][0]))
            return function(*arguments)

        return train_steps

    for skip_zeros in (True, False):
        backend = faulty.Backend(watch, only="train_steps")
        workloads.Training(case, 1, skip_zeros).verify(backend)
        workloads.Training(case, 1, skip_zeros).ready(backend)()
        assert seen == [skip_zeros] * len(seen)
        assert len(seen) > 1
        seen.clear()


def test_no_benchmark_times_a_faulty_backend():
    """Every benchmark there is, run on a faulty module in the place of Numba's kernels."""
    code = (
        "import sys, faulty, pytest\n"
        f"sys.modules[{NUMBA_KERNELS!r}] = faulty.Backend(faulty.off_by_one_row)\n"
        "sys.exit(pytest.main(['-q', '--benchmark-only', '-k', 'numba', '--tb=line',"
        " '-p', 'no:cacheprovider', 'benchmarks']))"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    finished = run_python("-c", code, PYTHONPATH=path)
    summary = finished.stdout.splitlines()[-1]
    failed = re.match(r"(\d+) failed, (?:\d+ skipped, )?\d+ deselected", summary)
    assert failed, finished.stdout
    assert int(failed.group(1)) > 30
    reasons = re.findall(r"^(?:E +|\S+:\d+: )(\w+)", finished.stdout, re.M)
    assert set(reasons) == {"AssertionError"}, finished.stdout


@pytest.mark.parametrize("kernel", ["matmul", "matmul_tn", "matmul_nt"])
def test_products_refuse_every_fault(kernel, monkeypatch):
    def verify(backend):
        monkeypatch.setitem(sys.modules, NUMBA_KERNELS, backend)
        assert Products("mnistcore-numba", 1).seconds(kernel, 6, 6, 7) > 0

    verify(get_backend("numpy"))
    faults = faulty.faults_against(verify)
    accepted = [n for n, fault in faults.items() if not refuses(verify, faulty.Backend(fault))]
    assert accepted == []


@pytest.fixture(scope="module")
def folder():
    """Real or built-in digits, fewer of them, as the workers of a comparison find them."""
    digits = workloads.digits()
    fewer = replace(
        digits,
        train_images=digits.train_images[:8000],
        train_labels=digits.train_labels[:8000],
        test_images=digits.test_images[:1000],
        test_labels=digits.test_labels[:1000],
    )
    with data_folder(fewer) as folder:
        yield folder


def warm(library, folder):
    """Go through all that a worker verifies before it measures."""
    return PeerWorker(Assignment(library, "784-10-10", 1, folder)).warm()


@pytest.mark.parametrize("program", ["train_steps", "Predictor"])
def test_a_comparison_refuses_a_faulty_backend(program, folder, monkeypatch):
    def verify(backend):
        monkeypatch.setitem(sys.modules, NUMBA_KERNELS, backend)
        warm("mnistcore-numba", folder)

    verify(get_backend("numpy"))
    faults = {"no-op": faulty.no_op, "silent": faulty.silent, "stale": faulty.stale}
    for name, change in faulty.CHANGES.items():
        # Logits a hundredth larger give the same classes, and classes are all that is compared.
        if program == "train_steps" or "hundredth" not in name:
            faults[name] = faulty.spoils(change, 0)
    accepted = [
        name
        for name, fault in faults.items()
        if not refuses(verify, faulty.Backend(fault, only=program))
    ]
    assert accepted == []


class Idle(PlainNumpy):
    def train(self, order):
        pass


class Stops(PlainNumpy):
    """Trains in its first call only."""

    def train(self, order):
        if not self._step:
            super().train(order)


class StopsLater(PlainNumpy):
    """Trains as long as it is verified, but not for a whole epoch."""

    def train(self, order):
        super().train(order if len(order) < 1000 else order[:32])


class TooFast(PlainNumpy):
    """Its learning rate is a hundredth too high."""

    def __init__(self, job):
        super().__init__(replace(job, case=replace(job.case, learning_rate=0.101)))


class Forgets(PlainNumpy):
    """Hands out the weights that it began with."""

    def weights(self):
        return self.job.weights


class Shuffles(PlainNumpy):
    follows_order = False


class ShufflesIdle(Idle):
    follows_order = False


class ShufflesTooFast(Shuffles):
    """Its learning rate is a fifth too high."""

    def __init__(self, job):
        super().__init__(replace(job, case=replace(job.case, learning_rate=0.12)))


class Guesses(PlainNumpy):
    def predict(self, images):
        return np.zeros(len(images), np.int64)


class PredictsUntrained(PlainNumpy):
    """Predicts with the weights that it began with."""

    def predict(self, images):
        return PlainNumpy(self.job).predict(images)


class PredictsTheRowBefore(PlainNumpy):
    def predict(self, images):
        return np.roll(super().predict(images), 1)


class PredictsBatchesOnly(PlainNumpy):
    def predict(self, images):
        return super().predict(images) if len(images) > 1 else np.zeros(1, np.int64)


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (Idle, "trains otherwise"),
        (Stops, "trains otherwise"),
        (StopsLater, "does not learn"),
        (TooFast, "trains otherwise"),
        (Forgets, "trains otherwise"),
        (ShufflesIdle, "trains otherwise"),
        (ShufflesTooFast, "trains otherwise"),
        (Guesses, "predicts otherwise"),
        (PredictsUntrained, "predicts otherwise"),
        (PredictsTheRowBefore, "predicts otherwise"),
        (PredictsBatchesOnly, "predicts otherwise"),
    ],
)
def test_a_comparison_refuses_a_library_that_does_other_work(peer, reason, folder, monkeypatch):
    monkeypatch.setitem(LIBRARIES, "faulty", SimpleNamespace(load=lambda: peer, trains=True))
    with pytest.raises(AssertionError, match=reason):
        warm("faulty", folder)


@pytest.mark.parametrize("peer", [PlainNumpy, Shuffles])
def test_a_comparison_takes_a_library_that_does_the_same_work(peer, folder, monkeypatch):
    monkeypatch.setitem(LIBRARIES, "sound", SimpleNamespace(load=lambda: peer, trains=True))
    assert warm("sound", folder)["accuracy"] > 0.8


def example_results():
    """One core, two networks; numba 4x and 2x ahead of the best other."""
    results = new_results()
    results["runs"].append({"date": "2026-01-01 00:00 UTC"})
    results["ceilings"] = {"1": {"gflops": 100.0, "gbs": 20.0}}
    seconds = {"mnistcore-numba": (0.1, 0.5), "jax": (0.4, 2.0), "torch": (0.8, 1.0)}
    for index, network in enumerate(("784-10-10", "784-128-64-10")):
        for library, times in seconds.items():
            for threads in (1, 2):
                results["epoch"].append(
                    {
                        "network": network,
                        "library": library,
                        "threads": threads,
                        "seconds": summary([times[index] * threads] * 2 + [99.0]),
                        "samples": 60_000,
                        "samples_trained": 60_000,
                        "batch_size": 64,
                    }
                )
    return results


def test_tables_compare_with_the_best_other_library():
    text = tables.markdown(example_results())
    assert "| mnistcore, numba | 0.100 (1) | 0.500 (1) |" in text
    assert "| **mnistcore, numba: times ahead of the best other** | **4.00x** | **2.00x** |" in text
    assert "100 GFLOP/s and 20 GB/s on 1 core" in text
    assert "scaled up" not in text


def test_products_are_compared_shape_by_shape_by_their_shortest_calls():
    results = example_results()
    seconds = {"mnistcore-numba": ([1.0, 5.0, 6.0], [2.0]), "numpy": ([2.0, 2.0, 9.0], [1.0])}
    for index, n in enumerate((10, 64)):
        row = {"kernel": "matmul", "m": 32, "n": n, "k": 784, "threads": 2}
        own = {library: summary(samples[index]) for library, samples in seconds.items()}
        results["products"].append(row | {"seconds": own})
    square = {"kernel": "matmul", "m": 64, "n": 64, "k": 64, "threads": 2}
    results["products"].append(square | {"seconds": {"mnistcore-numba": summary([1.0])}})
    text = tables.markdown(results)
    assert "over 2 shapes" in text
    assert "| mnistcore, numba, 2 threads | 1.00 | 0.50 |  |  |" in text


def test_a_summary_holds_the_quartiles():
    samples = [5.0, 1.0, 2.0, 4.0, 3.0]
    expected = {"rounds": 5, "min": 1.0, "q1": 2.0, "median": 3.0, "q3": 4.0}
    assert summary(samples) == expected
    assert summary([1 / 3]) == {"rounds": 1} | dict.fromkeys(
        ("min", "q1", "median", "q3"), 0.333333333
    )


@pytest.mark.parametrize("module", [ceilings, teach_likeness])
def test_help_measures_and_writes_nothing(module, capsys, monkeypatch):
    monkeypatch.setattr(ceilings, "measure_ceilings", None)
    monkeypatch.setattr(teach_likeness, "load_data", None)
    with pytest.raises(SystemExit) as left:
        module.main(["--help"])
    assert left.value.code == 0
    assert f"python -m {module.__package__}" in capsys.readouterr().out


def test_the_file_of_weights_is_named_by_who_trains_them(capsys):
    with pytest.raises(SystemExit):
        teach_likeness.main([])
    assert "required: --output" in capsys.readouterr().err


def test_ceilings_are_the_highest_of_all_runs():
    results = {"ceilings": {"4": {"gflops": 450.0, "gbs": 30.0}}}
    raise_ceilings(results, {"4": {"gflops": 234.0, "gbs": 35.0}, "1": {"gflops": 117.0}})
    assert results["ceilings"] == {"4": {"gflops": 450.0, "gbs": 35.0}, "1": {"gflops": 117.0}}


def test_results_survive_a_round_trip_and_rows_are_replaced_by_network(tmp_path):
    results = example_results()
    path = tmp_path / "folder" / "results.json"
    write_results(path, results)
    again = open_results(path)
    assert again == json.loads(json.dumps(results))
    assert len(path.read_text().splitlines()) < 2 * len(results["epoch"]) + 20  # a row a line
    replace_rows(again, "epoch", [{"network": "784-10-10", "library": "numpy"}])
    assert {row["library"] for row in again["epoch"] if row["network"] == "784-10-10"} == {"numpy"}
    assert sum(row["network"] == "784-128-64-10" for row in again["epoch"]) == 6


def test_results_of_another_machine_are_not_added_to(tmp_path):
    results = example_results()
    results["machine"]["cpu"] = "an abacus"
    write_results(tmp_path / "r.json", results)
    with pytest.raises(ValueError, match="another machine"):
        open_results(tmp_path / "r.json")


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_file_that_holds_no_results_is_one_clear_line(tmp_path, capsys, content):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"results\.json"):
        read_results(path)
    assert peers.main(["--table", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_readme_is_written_between_the_comments(tmp_path):
    write_results(tmp_path / "r.json", example_results())
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    flags = ["--write-readme", str(tmp_path / "r.json"), "--readme", str(readme)]
    assert peers.main(flags) == 0
    first = readme.read_text()
    assert first.startswith(f"before\n{tables.BEGIN}\n")
    assert first.endswith(f"\n{tables.END}\nafter\n")
    assert "**4.00x**" in first
    assert "old" not in first
    assert peers.main(flags) == 0
    assert readme.read_text() == first


@pytest.mark.parametrize("text", ["", tables.BEGIN, f"{tables.END}\n{tables.BEGIN}"])
def test_a_readme_without_the_comments_stays_as_it_is(tmp_path, capsys, text):
    write_results(tmp_path / "r.json", example_results())
    readme = tmp_path / "README.md"
    readme.write_text(text)
    flags = ["--write-readme", str(tmp_path / "r.json"), "--readme", str(readme)]
    assert peers.main(flags) == 2
    assert "README.md: needs the lines" in capsys.readouterr().err
    assert readme.read_text() == text


@pytest.mark.parametrize(
    "flags",
    [
        ["--what", "speed"],
        ["--libraries", "numpy,tensorflow"],
        ["--networks", "784-10"],
        ["--threads", "0"],
        ["--threads", "100000"],
        ["--rounds", "0"],
        ["--rounds", "many"],
    ],
)
def test_a_bad_command_line_ends_with_status_2(flags, capsys):
    with pytest.raises(SystemExit) as ending:
        peers.main(flags)
    assert ending.value.code == 2
    assert flags[1].split(",")[-1] in capsys.readouterr().err


def run_module(*arguments, **variables):
    return run_python("-m", *arguments, **variables)


def run_python(*arguments, **variables):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"MNISTCORE_BENCH_QUICK": "1"} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def small_results(tmp_path):
    """A real comparison, of NumPy with NumPy, in quick mode."""
    path = tmp_path / "quick.json"
    flags = ["--what", "epoch,inference", "--libraries", "numpy,mnistcore-numpy", "--rounds", "2"]
    flags += ["--networks", "784-10-10", "--threads", "1", "--output", str(path)]
    data = [] if os.environ.get("MNISTCORE_DATA_DIR") else ["--data", "synthetic"]
    finished = run_module("benchmarks.peers", *flags, *data)
    assert finished.returncode == 0, finished.stderr
    return path


def test_a_comparison_measures_each_library_in_each_round(small_results):
    results = read_results(small_results)
    for section, key in (("epoch", "seconds"), ("inference", "latency")):
        rows = {row["library"]: row for row in results[section]}
        assert rows.keys() == {"numpy", "mnistcore-numpy"}
        for row in rows.values():
            assert row[key]["rounds"] == 2
            assert 0 < row[key]["min"] <= row[key]["q1"] <= row[key]["median"] <= row[key]["q3"]
    assert "figures mean nothing" in tables.markdown(results)


def test_pictures_are_drawn(tmp_path):
    results = example_results()
    for size in (16, 64):
        shape = {"kernel": "matmul", "m": size, "n": size, "k": size, "threads": 1}
        seconds = {name: summary([1e-6 * size]) for name in ("mnistcore-numba", "numpy")}
        results["products"].append(shape | {"seconds": seconds})
    write_results(tmp_path / "r.json", results)
    pictures = tmp_path / "pictures"
    finished = run_module(
        "benchmarks.plots", str(tmp_path / "r.json"), "--folder", str(pictures), MPLBACKEND="agg"
    )
    assert finished.returncode == 0, finished.stderr
    names = {
        f"{name}.{suffix}"
        for name in ("products", "epochs", "scaling")
        for suffix in ("svg", "png")
    }
    assert {path.name for path in pictures.iterdir()} == names
    write_results(tmp_path / "empty.json", new_results())
    assert run_module("benchmarks.plots", str(tmp_path / "empty.json")).returncode == 2


def test_the_estimators_take_turns_and_their_figures_become_a_table(monkeypatch):
    pytest.importorskip("sklearn")
    from benchmarks.estimator import __main__ as estimator
    from benchmarks.estimator.uses import Outcome

    turns = []

    def run(classifier):
        turns.append(classifier)
        ours = classifier is estimator.CLASSES["ours"]
        return Outcome({"a": 0.9, "b": 0.5 if ours else 0.6}, 1.0 if ours else 3.0)

    row = estimator.compare(run, rounds=2)
    ours, theirs = estimator.CLASSES.values()
    assert turns == [ours, theirs, theirs, ours]
    assert row["ratio"] == 3.0
    assert row["largest_difference"] == pytest.approx(0.1)
    line = estimator.table("use", [{"name": "both", **row}]).splitlines()[-1]
    assert "| both (2 fits) | 1.000 s | 3.000 s | 3.00 | 70.00% | 75.00% | 10.00 points |" in line


def test_settling_waits_for_threads_that_spin():
    import threading
    import time

    from benchmarks.settling import settle

    stop = time.perf_counter() + 0.15

    def spin():
        while time.perf_counter() < stop:
            sum(range(1000))

    thread = threading.Thread(target=spin)
    thread.start()
    settle()
    assert not thread.is_alive()
    thread.join()


def test_further_networks_are_named_by_their_layer_and_batch_sizes():
    cases = [sizes.case_of(name) for name in sizes.FURTHER_NETWORKS]
    assert all(case.layer_sizes[0] == 784 and case.epoch_steps > 0 for case in cases)
    assert sizes.case_of("784-300-100-10/64").batch_size == 64
    assert sizes.case_of(sizes.DEFAULT_NETWORK.name) is sizes.DEFAULT_NETWORK
    for name in ("784-50-10", "784-0-10/16", "100-50-10/16", "784-50-10/x"):
        with pytest.raises(ValueError, match="is no network such as"):
            sizes.case_of(name)


def test_further_networks_are_compared_with_the_fastest_peer():
    rows = [
        {"network": "784-50-10/16", "library": name, "threads": threads, "seconds": {"median": s}}
        for name, threads, s in [
            ("jax", 1, 3.0), ("jax", 2, 4.0), ("torch", 1, 9.0), ("torch", 2, 5.0),
            ("mnistcore-numba", 1, 2.0), ("mnistcore-numba", 2, 1.0),
            ("mnistcore-numba-dense", 1, 2.0), ("mnistcore-numba-dense", 2, 1.5),
        ]
    ]  # fmt: skip
    both, one = further.markdown({"epoch": rows}).split("On one core")
    assert "| 784-50-10/16 | JAX | 3.000 | 1.000 | 3.00x | 2.00x |" in both
    assert "| 784-50-10/16 | JAX | 3.000 | 2.000 | 1.50x | 1.50x |" in one


@pytest.mark.parametrize(
    ("module", "measure"),
    [
        (dense, lambda: dense.shares_of_peak("cython", 1, 1)),
        (dense, lambda: dense.cost_of_looking("cython", sizes.NETWORKS["784-10-10"], 1)),
        (backprop, lambda: backprop.measure_seconds(1)),
        (crowded, lambda: crowded.main(["--backends", "cython", "--networks", "784-10-10"])),
    ],
    ids=["shares", "looking", "backprop", "crowded"],
)
def test_training_that_is_timed_is_verified(module, measure, monkeypatch):
    backend = faulty.Backend(faulty.silent, only="train_steps")
    monkeypatch.setattr(module, "get_backend", lambda *name: backend)
    monkeypatch.setattr(dense, "LARGE_NETWORK", sizes.NETWORKS["784-10-10"])
    monkeypatch.setattr(dense, "peak_gflops", lambda threads: 50.0 * threads)
    with pytest.raises(AssertionError, match="off the reference"):
        measure()


def test_a_crowded_epoch_is_measured(compiled, monkeypatch):
    monkeypatch.setattr(crowded, "QUICK", True)
    seconds = crowded.measure(compiled.NAME, sizes.NETWORKS["784-10-10"], 1, 2)
    assert len(seconds) == 2
    assert min(seconds) > 0


def test_dense_training_is_measured(compiled, monkeypatch):
    monkeypatch.setattr(dense, "STEPS", 2)
    monkeypatch.setattr(dense, "peak_gflops", lambda threads: 50.0 * threads)
    peak, sgd, share, _, _ = dense.shares_of_peak(compiled.NAME, 1, 2)
    assert peak == "50"
    assert abs(int(share[:-1]) - 2 * int(sgd)) <= 1
    assert 0.2 < dense.cost_of_looking(compiled.NAME, sizes.NETWORKS["784-10-10"], 3) < 5


def test_going_on_at_full_speed_is_measured(compiled, monkeypatch):
    monkeypatch.setattr(crowded, "QUICK", True)
    (seconds,) = crowded.recovery(compiled.NAME, sizes.NETWORKS["784-10-10"], 1, 1)
    assert 0 < seconds < 30


@pytest.mark.slow
def test_the_web_server_is_measured(tmp_path, capsys):
    """Load, start and watching in short; every answer is right."""
    pytest.importorskip("uvicorn", reason="the server needs the extra serve")
    from benchmarks.serve import main

    config = mnistcore.TrainConfig(
        data="synthetic", epochs=1, hidden=16, backend="numpy", output=str(tmp_path / "run")
    )
    mnistcore.train(config)
    flags = ["--run", str(tmp_path / "run"), "--connections", "4", "--seconds", "0.5"]
    flags += ["--rounds", "1", "--epochs", "1", "--backend", "numpy", "--data", "synthetic"]
    assert main(flags) == 0
    out = capsys.readouterr().out
    assert re.search(r"^pixels, 4 connections: [\d,]+ requests .* 0 errors$", out, re.MULTILINE)
    assert re.search(r"^start to page: [\d.]+ s", out, re.MULTILINE)
    assert "watched job" in out


def test_errors_on_images_held_out(tmp_path, capsys):
    from benchmarks.held_out import errors, main

    path = str(tmp_path / "run")
    config = mnistcore.TrainConfig(
        recipe="fast",
        epochs=1,
        backend="numpy",
        data="synthetic",
        validation_fraction=0.1,
        output=path,
    )
    result = mnistcore.train.run(config)
    n, wrong, deformed = errors(path, 2)
    assert 1 - wrong / n == pytest.approx(result.history[-1].validation_accuracy)
    assert 0 < deformed < 0.5
    assert deformed != wrong / n
    assert main([path, "--versions", "2"]) == 0
    assert f"| {n:,} | {wrong} | {wrong / n:.2%} | {deformed:.2%} |" in capsys.readouterr().out


def test_a_training_that_was_ended_goes_on_where_it_is_kept(tmp_path):
    data = str(write_small_digits(tmp_path / "data"))

    class Ends(Listener):
        def slice_done(self, progress):
            raise KeyboardInterrupt

    folder = tmp_path / "fast-numpy-0"
    config = mnistcore.TrainConfig(recipe="fast", backend="numpy", data=data, output=str(folder))
    with pytest.raises(TrainingInterrupted):
        mnistcore.train.run(config, listener=Ends())
    before = accuracy.summary_of(folder)["total_seconds"]
    ended = accuracy.measure("fast", "numpy", 0, data, str(tmp_path))
    assert accuracy.summary_of(folder)["epochs_run"] == config.epochs
    assert ended["seconds"][0] > before
    assert accuracy.measure("fast", "numpy", 0, data, str(tmp_path)) == ended
    alone = accuracy.measure("fast", "numpy", 0, data, None)
    assert alone["test_accuracies"] == ended["test_accuracies"]
    folder.rename(tmp_path / "fast-99-numpy-0")
    with pytest.raises(ValueError, match=r"fast-99-numpy-0: is not of the settings that"):
        accuracy.measure("fast-99", "numpy", 0, data, str(tmp_path))


def trained(seed, reached, **changed):
    row = {"recipe": "fast", "settings": accuracy.completed({"epochs": 3}), "backend": "numba"}
    row |= {"data": "mnist", "seeds": [seed], "test_accuracies": [reached]}
    return {**row, "threads": [1 + seed % 2], "seconds": [1.0], **changed}


def test_accuracies_of_other_seeds_stay_and_those_of_other_settings_go():
    merged = accuracy.merged
    rows = merged(merged([], trained(1, 0.98)), trained(0, 0.97))
    rows = merged(rows, trained(1, 0.99))
    assert [(row["seeds"], row["test_accuracies"]) for row in rows] == [([0, 1], [0.97, 0.99])]
    rows = merged(rows, trained(2, 0.96, backend="cython"))
    assert [row["seeds"] for row in rows] == [[0, 1], [2]]
    rows = merged(rows, trained(3, 0.95, settings=accuracy.completed({"epochs": 4})))
    assert [row["seeds"] for row in rows] == [[3], [2]]


def test_accuracies_from_one_and_from_two_threads_are_those_of_one_recipe():
    rows = accuracy.merged(accuracy.merged([], trained(1, 0.98)), trained(0, 0.96))
    assert rows[0]["threads"] == [1, 2]
    cells = accuracy.table(rows).splitlines()[-1].split(" | ")
    assert cells[2:4] + cells[-2:] == ["2", "97.00%", "1 or 2", "1.00 |"]
