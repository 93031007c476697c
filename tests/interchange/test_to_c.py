"""The C file, compiled with every warning an error and run: the compiler is the real one."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from small_models import MODELS

from mnistcore.interchange import c_tables, to_c
from mnistcore.interchange.int8 import int8_logits, quantize
from mnistcore.kernels import numpy_kernels

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
STRICTER = ["-Wconversion", "-Wdouble-promotion", "-Wshadow", "-Wstrict-prototypes"]
FASTEST = ["-O3", "-march=native"]  # vector code of the compiler's own making
# gcc -fsanitize, where whatever is undefined ends the program
TRAPS = ["-fsanitize=undefined,float-cast-overflow", "-fsanitize-undefined-trap-on-error"]

TANH = MODELS["tanh"]
NAMES = ("a", 'é"\\', "$c{}", "??/%d" + "x" * 150)
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
    literals = list(c_tables.literals(values))
    assert all("." in text or "e" in text for text in literals)
    read = np.array([float(text.removesuffix("f")) for text in literals], np.float32)
    assert read.tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("compiler", "flags", "suffix"),
    [
        ("cc", ["-std=c99", "-Wstrict-prototypes", "-Wmissing-prototypes"], ".c"),
        ("cc", ["-std=c11", "-Wstrict-prototypes", "-Wmissing-prototypes"], ".c"),
        ("g++", ["-std=c++11"], ".cpp"),
        ("g++", ["-std=c++17"], ".cpp"),
    ],
)
@pytest.mark.parametrize("int8", [False, True])
def test_two_models_link_into_one_program_in_c_and_in_cpp(
    consumer, tmp_path, int8, compiler, flags, suffix
):
    """Also the models themselves are compiled in each language, and C++ links those of C."""
    models = {"first": TANH, "second": dataclasses.replace(TANH, class_names=NAMES)}
    for prefix, model in models.items():
        (tmp_path / f"{prefix}.h").write_bytes(to_c.encode_header(model, prefix))
        (tmp_path / f"{prefix}.c").write_bytes(to_c.encode(model, int8, prefix))
        (tmp_path / f"{prefix}.cpp").write_bytes(to_c.encode(model, int8, prefix))
    pixels = ", ".join(map(str, IMAGES[0].ravel()))
    (tmp_path / f"main{suffix}").write_text(
        "#include <stdio.h>\n"
        + 2 * '#include "second.h"\n#include "first.h"\n'  # guarded
        + f"static const uint8_t image[FIRST_INPUTS] = {{{pixels}}};\n"
        "int main(void)\n{\n"
        "    char name[SECOND_NAME_SIZE];\n"
        "    second_class_name(second_predict(image), name);\n"
        '    printf("%d %s", first_predict(image), name);\n'
        "    return 0;\n}\n"
    )
    warnings = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wdouble-promotion"]
    command = [consumer(compiler), *flags, *warnings, "-Wshadow", "-Wmissing-declarations", "-c"]
    sources = [f"{name}{suffix}" for name in ("main", "first", "second")]
    subprocess.run([*command, *sources], cwd=tmp_path, check=True)
    if suffix == ".cpp":  # take the C of one of them
        c99 = [consumer("cc"), "-std=c99", "-c", "first.c"]
        subprocess.run(c99, cwd=tmp_path, check=True)
    link = [consumer(compiler), "main.o", "first.o", "second.o", "-o", "main", "-lm"]
    subprocess.run(link, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, check=True)
    label = TANH.predict(IMAGES, numpy_kernels)[0]
    assert done.stdout.decode() == f"{label} {NAMES[label]}"


@pytest.mark.parametrize(
    ("stem", "prefix"),
    [
        ("model", "model"),
        ("model-int8", "model_int8"),
        ("a b.c", "a_b_c"),
        ("7seg", "model_7seg"),
        ("__x_", "x"),
        ("\N{SNOWMAN}", "model"),
        ("été", "t"),
    ],
)
def test_the_prefix_of_the_names_comes_from_the_file(stem, prefix):
    assert to_c.prefix_of(stem) == prefix


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("relu", "tail -c +17 t10k-images-idx3-ubyte | ./digits   # pixels in"),
        ("tanh", "./digits < images.bin   # 36 bytes of pixels for each image in"),
    ],
)
def test_the_command_that_tries_it_is_for_images_of_its_size(name, command):
    last = to_c.usage(MODELS[name], "model.c").splitlines()[-1]
    assert last == f"{command}, label and probabilities out"


def test_half_an_image_is_told(compiled, tmp_path):
    compiled(to_c.encode(TANH))
    given = IMAGES.tobytes() + bytes(35)
    done = subprocess.run([tmp_path / "model"], input=given, capture_output=True, check=False)
    assert len(done.stdout.splitlines()) == 1
    assert (done.returncode, done.stderr) == (1, b"the last image has 35 of 36 bytes\n")


@pytest.mark.parametrize(
    "name", ["*/ int x;", "/*", "a\nb", "\\", "\N{SNOWMAN}", "x " * 90, "??/", "\ud800"]
)
def test_class_names_stay_in_their_comment_and_their_table(compiled, name):
    content = to_c.encode(dataclasses.replace(TANH, class_names=(name,) * 4), prefix="x")
    assert compiled(content)(IMAGES)[0].shape == (1,)
    assert max(map(len, content.decode("ascii").splitlines())) <= 100


def test_a_class_name_longer_than_a_string_of_c_is_refused():
    with pytest.raises(ValueError, match="a name of 5,000 bytes; C takes 4,094"):
        to_c.encode(dataclasses.replace(TANH, class_names=("x" * 5000, "b", "c", "d")))


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
