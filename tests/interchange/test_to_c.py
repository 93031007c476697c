"""The C file, compiled with every warning an error and run: the compiler is the real one."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from small_models import MODELS

from mnistcore.interchange import to_c
from mnistcore.interchange.int8 import int8_logits, quantize
from mnistcore.kernels import numpy_kernels

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
STRICTER = ["-Wconversion", "-Wdouble-promotion", "-Wshadow", "-Wstrict-prototypes"]
FASTEST = ["-O3", "-march=native"]  # vector code of the compiler's own making
# gcc -fsanitize, where whatever is undefined ends the program
TRAPS = ["-fsanitize=undefined,float-cast-overflow", "-fsanitize-undefined-trap-on-error"]

TANH = MODELS["tanh"]
IMAGES = np.random.default_rng(2).integers(0, 256, (1, 6, 6), np.uint8)


@pytest.fixture
def compiled(consumer, tmp_path):
    """Compiles a C file and returns a function of images: labels (N,) and probabilities (N, C)."""
    compiler = consumer("cc")

    def build(content, *flags):
        (tmp_path / "model.c").write_bytes(content)
        command = [compiler, *STRICT, *flags, "-DMNISTCORE_MAIN", "model.c", "-o", "model", "-lm"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

        def predict(images):
            done = subprocess.run(
                [tmp_path / "model"], input=images.tobytes(), capture_output=True, check=True
            )
            rows = np.array([line.split() for line in done.stdout.splitlines()], np.float64)
            return rows[:, 0].astype(int), rows[:, 1:]

        return predict

    return build


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("flags", [STRICTER, FASTEST], ids=["strict", "fastest"])
def test_float_weights_predict_as_the_model_does(compiled, model, images, flags):
    labels, probs = compiled(to_c.encode(model), *flags)(images)
    np.testing.assert_array_equal(labels, model.predict(images, numpy_kernels))
    np.testing.assert_allclose(probs, model.predict_proba(images, numpy_kernels), atol=2e-6)


@pytest.mark.parametrize("flags", [STRICTER, FASTEST], ids=["strict", "fastest"])
def test_int8_weights_predict_as_their_numpy_twin_does(compiled, model, images, flags):
    labels, probs = compiled(to_c.encode(model, int8=True), *flags)(images)
    expected = int8_logits(quantize(model), model.scale, images)
    # A value that lies between two steps may be rounded either way in the last place.
    close = np.abs(probs - softmax(expected)).max(axis=1) < 1e-5
    assert close.mean() > 0.97
    np.testing.assert_array_equal(labels[close], expected.argmax(axis=1)[close])


@pytest.mark.parametrize("int8", [False, True])
def test_no_sum_overflows_and_nothing_else_is_undefined(compiled, model, images, int8):
    compiled(to_c.encode(model, int8), *TRAPS)(images)


@pytest.mark.parametrize("int8", [False, True])
def test_weights_of_every_size_are_c_literals(compiled, int8):
    strange = [0.0, -0.0, 1e-45, -1e-40, 1.0, 1e10, 16777216.0, 0.1, 1e-5]
    params = TANH.params.copy()
    params[: len(strange)] = strange
    model = dataclasses.replace(TANH, params=params)
    labels, _ = compiled(to_c.encode(model, int8))(IMAGES)
    assert labels[0] == model.predict(IMAGES, numpy_kernels)[0]


def test_literals_mean_exactly_the_weights(model):
    values = model.params
    literals = list(to_c._literals(values))
    assert all("." in text or "e" in text for text in literals)
    read = np.array([float(text.removesuffix("f")) for text in literals], np.float32)
    assert read.tobytes() == values.tobytes()


def test_predict_can_be_linked_into_another_program(consumer, tmp_path):
    (tmp_path / "model.c").write_bytes(to_c.encode(TANH))
    pixels = ", ".join(map(str, IMAGES[0].ravel()))
    (tmp_path / "main.c").write_text(
        "#include <stdint.h>\n#include <stdio.h>\n"
        "int predict(const uint8_t image[36]);\n"
        f"static const uint8_t image[] = {{{pixels}}};\n"
        'int main(void) { printf("%d", predict(image)); return 0; }\n'
    )
    command = [consumer("cc"), *STRICT, "main.c", "model.c", "-o", "main", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, check=True)
    assert int(done.stdout) == TANH.predict(IMAGES, numpy_kernels)[0]


def test_half_an_image_is_told(compiled, tmp_path):
    compiled(to_c.encode(TANH))
    given = IMAGES.tobytes() + bytes(35)
    done = subprocess.run([tmp_path / "model"], input=given, capture_output=True, check=False)
    assert len(done.stdout.splitlines()) == 1
    assert (done.returncode, done.stderr) == (1, b"the last image has 35 of 36 bytes\n")


@pytest.mark.parametrize("name", ["*/ int x;", "/*", "a\nb", "\\", "\N{SNOWMAN}", "x " * 90, "??/"])
def test_class_names_stay_in_their_comment(compiled, name):
    content = to_c.encode(dataclasses.replace(TANH, class_names=(name,) * 4))
    assert compiled(content)(IMAGES)[0].shape == (1,)
    assert max(map(len, content.decode("ascii").splitlines())) <= 100


@pytest.mark.skipif(sys.platform != "linux", reason="reads the sections of an ELF file")
@pytest.mark.parametrize("name", ["logistic", "wide"])
@pytest.mark.parametrize("int8", [False, True])
def test_the_stated_memory_is_what_the_compiler_takes(consumer, tmp_path, name, int8):
    model = MODELS[name]
    (tmp_path / "model.c").write_bytes(to_c.encode(model, int8))
    subprocess.run([consumer("cc"), "-c", "-O0", "model.c"], cwd=tmp_path, check=True)
    done = subprocess.run(
        ["size", "-A", "model.o"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    sections = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[2:] if line}
    tables, buffers = to_c.memory(model, int8)
    padding = 4 * 32 * (len(model.network.layer_sizes) - 1)  # at most four tables a layer
    assert 0 <= int(sections[".rodata"]) - tables < padding
    assert 0 <= int(sections[".bss"]) - buffers < 64


def test_the_same_model_makes_the_same_file(model):
    assert to_c.encode(model, int8=True) == to_c.encode(model, int8=True)
