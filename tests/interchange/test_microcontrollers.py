"""The C files on microcontrollers: compilers for AVR and ARM, and an ATmega328P in simavr."""

import dataclasses
import re
import subprocess
from itertools import pairwise

import numpy as np
import pytest
from small_models import MODELS, make_model

from mnistcore.interchange import to_c
from mnistcore.interchange.int8 import int8_logits, quantize
from mnistcore.kernels import numpy_kernels

# On AVR double is float, and some functions of its math.h are those of double.
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow"]
UNO = ["-mmcu=atmega328p", "-DF_CPU=16000000UL", "-Os"]
FLASH, RAM = 32 * 1024 - 512, 2048  # bytes; the Uno's boot loader takes 512
STACK = 256  # bytes of RAM to leave for it, which is plenty

# Answers on the serial port, which simavr prints, and ends by sleeping without interrupts.
PROGRAM = """
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/sleep.h>
#include "model.h"

static const uint8_t images[COUNT][MODEL_INPUTS] PROGMEM = { IMAGES };

static void put(char c)
{
    while (!(UCSR0A & (1 << UDRE0)))
        ;
    UDR0 = (uint8_t)c;
}

static void put_hex(uint32_t value, int shift)
{
    for (; shift >= 0; shift -= 4)
        put("0123456789abcdef"[(value >> shift) & 15]);
}

static void put_float(float value)
{
    union { float value; uint32_t bits; } both = {value};
    put_hex(both.bits, 28);
    put(' ');
}

int main(void)
{
    static uint8_t image[MODEL_INPUTS];
    static float probabilities[MODEL_OUTPUTS];
    UCSR0B = 1 << TXEN0;
    for (int i = 0; i < COUNT; i++) {
        memcpy_P(image, images[i], sizeof image);
        put('<');
        put((char)('0' + model_predict(image)));
        put(' ');
        model_predict_proba(image, probabilities);
        for (int j = 0; j < MODEL_OUTPUTS; j++)
            put_float(probabilities[j]);
        NAMED
        put('>');
        put('\\n');
    }
    cli();
    sleep_enable();
    sleep_cpu();
}
"""
# simavr prints a dot for what is not ASCII.
NAMED = """
        char name[MODEL_NAME_SIZE];
        model_class_name(model_predict(image), name);
        for (const char *c = name; *c; c++)
            put_hex((uint8_t)*c, 4);
"""


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(folder, model, int8):
    (folder / "model.c").write_bytes(to_c.encode(model, int8))
    (folder / "model.h").write_bytes(to_c.encode_header(model))


def on_the_uno(consumer, folder, model, int8, images):
    """Build a program that predicts these images; return its bytes of flash and of RAM."""
    write(folder, model, int8)
    rows = ", ".join(f"{{{', '.join(map(str, row))}}}" for row in images.reshape(len(images), -1))
    program = PROGRAM.replace("COUNT", str(len(images))).replace("IMAGES", rows)
    named = "model_class_name" in (folder / "model.h").read_text()
    (folder / "main.c").write_text(program.replace("NAMED", NAMED if named else ""))
    sources = ["main.c", "model.c", "-o", "main.elf", "-lm"]
    run([consumer("avr-gcc"), *UNO, "-std=c99", *WARNINGS, *sources], folder)
    text, data, bss, *_ = run(["avr-size", "main.elf"], folder).splitlines()[1].split()
    return int(text) + int(data), int(data) + int(bss)


def simulated(consumer, folder):
    """Run the program; return labels (N,), probabilities (N, C) and names."""
    command = [consumer("simavr"), "-m", "atmega328p", "-f", "16000000", "main.elf"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    rows = [row.split(" ") for row in re.findall("<(.*)>", done.stdout + done.stderr)]
    bits = np.array([[int(value, 16) for value in row[1:-1]] for row in rows], np.uint32)
    names = [bytes.fromhex(row[-1]).decode() for row in rows]
    return np.array([int(row[0]) for row in rows]), bits.view(np.float32), names


@pytest.mark.parametrize("standard", ["c99", "c++17"])
@pytest.mark.parametrize("int8", [False, True])
def test_arm_compilers_take_every_model_without_a_warning(
    consumer, tmp_path, model, int8, standard
):
    write(tmp_path, model, int8)
    language = ["-x", "c++"] if "+" in standard else ["-Wstrict-prototypes"]
    command = [consumer("arm-none-eabi-gcc"), "-mcpu=cortex-m0", "-mthumb", "-Os"]
    strict = [f"-std={standard}", *WARNINGS, "-Wdouble-promotion", *language]
    run([*command, *strict, "-c", "model.c"], tmp_path)


def test_on_arm_the_tables_are_constants_and_nothing_is_double(consumer, tmp_path):
    write(tmp_path, MODELS["tanh"], True)
    main = "int main(void) { static uint8_t image[36]; return model_predict(image); }"
    (tmp_path / "main.c").write_text(f'#include "model.h"\n{main}\n')
    command = [consumer("arm-none-eabi-gcc"), "-mcpu=cortex-m0", "-mthumb", "-Os"]
    run([*command, "-c", "main.c", "model.c"], tmp_path)
    assert "__aeabi_f" in run(["arm-none-eabi-nm", "-u", "model.o"], tmp_path)
    assert "__aeabi_d" not in run(["arm-none-eabi-nm", "-u", "model.o"], tmp_path)
    sizes = run(["arm-none-eabi-size", "model.o"], tmp_path).splitlines()[1].split()
    tables, buffers = to_c.memory(MODELS["tanh"], True)
    assert int(sizes[0]) >= tables
    assert (int(sizes[1]), int(sizes[2])) == (0, buffers)
    libraries = ["--specs=nosys.specs", "main.o", "model.o", "-o", "main.elf", "-lm"]
    run([*command, *libraries], tmp_path)


@pytest.mark.parametrize("standard", ["c99", "c++14"])
@pytest.mark.parametrize("int8", [False, True])
def test_avr_compilers_take_small_models_without_a_warning(
    consumer, tmp_path, model, int8, standard
):
    write(tmp_path, model, int8)
    language = ["-x", "c++"] if "+" in standard else ["-Wstrict-prototypes"]
    command = [consumer("avr-gcc"), *UNO, f"-std={standard}", *WARNINGS, *language]
    done = subprocess.run(
        [*command, "-c", "model.c"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    bytes_each = 1 if int8 else 4
    sizes = [i * o * bytes_each for i, o in pairwise(model.network.layer_sizes)]
    if max(sizes) > 32767:
        assert "AVR reads tables of at most 32767 bytes" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    listed = run(["avr-size", "-A", "model.o"], tmp_path).splitlines()[2:]
    sections = {row.split()[0]: int(row.split()[1]) for row in listed if row}
    tables, buffers = to_c.memory(model, int8)
    assert sections[".progmem.data"] == tables
    assert sections[".bss"] == buffers
    assert sections[".data"] + sections.get(".rodata", 0) == 0


def test_tables_beyond_the_reach_of_avr_are_refused_by_its_compiler_alone(consumer, tmp_path):
    write(tmp_path, make_model((100, 250, 250)), True)  # 87,500 bytes in two tables
    done = subprocess.run(
        [consumer("avr-gcc"), "-mmcu=atmega2560", "-c", "model.c"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "65000 in all" in done.stderr
    run([consumer("cc"), "-c", "model.c"], tmp_path)


def test_an_uno_reads_images_of_mnists_size_as_the_numpy_twin_does(consumer, tmp_path):
    """int8 784-10-10 with the image takes less than half of the flash and of the RAM."""
    model = make_model((784, 10, 10), "relu", (28, 28))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 28, 28), np.uint8) * (rng.random((20, 28, 28)) < 0.2)
    images = images.astype(np.uint8)
    images[0], images[1] = 0, 255
    flash, ram = on_the_uno(consumer, tmp_path, model, True, images)
    assert flash - images.nbytes < FLASH / 2
    assert ram < RAM / 2
    labels, probs, _ = simulated(consumer, tmp_path)
    expected = softmax(int8_logits(quantize(model), model.scale, images))
    np.testing.assert_array_equal(labels, expected.argmax(axis=1))
    np.testing.assert_allclose(probs, expected, atol=1e-5)


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("name", ["tanh", "logistic", "identity", "one-unit"])
def test_an_uno_predicts_as_the_model_does(consumer, tmp_path, name, int8):
    model = MODELS[name]
    model = dataclasses.replace(model, class_names=tuple("éßç3"[: len(model.class_names)]))
    images = np.random.default_rng(1).integers(0, 256, (10, *model.input_shape), np.uint8)
    flash, ram = on_the_uno(consumer, tmp_path, model, int8, images)
    assert (flash < FLASH, ram < RAM - STACK) == (True, True)
    labels, probs, names = simulated(consumer, tmp_path)
    expected = model.predict_proba(images, numpy_kernels)
    if int8:
        expected = softmax(int8_logits(quantize(model), model.scale, images))
    # A value that lies between two steps may be rounded either way in the last place.
    close = np.abs(probs - expected).max(axis=1) < 1e-5
    assert close.sum() >= (9 if int8 else 10)
    np.testing.assert_array_equal(labels[close], expected.argmax(axis=1)[close])
    assert names == [model.class_names[label] for label in labels]


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
