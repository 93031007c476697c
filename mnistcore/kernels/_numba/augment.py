"""Deformed images, as in ``deformation.augment``: fixed point, VL pixels at a time."""

from functools import cache
from typing import NamedTuple

import numpy as np

from ..layout import (
    AUGMENTATION_LAYER,
    FIRST_CONTROL,
    GOLDEN,
    HEIGHTENED,
    POSITION_BITS,
    ROTATED,
    SHEARED,
    SHIFTED_X,
    SHIFTED_Y,
    THICKENED,
    TURN_BITS,
    WEIGHT_BITS,
    WIDENED,
    Deformation,
)
from ..threads import run_tasks
from .dropout import mix, row_key
from .functions import c_function, entry, inner, pointer
from .integers import (
    gather_ints,
    lanes,
    least,
    least_unsigned,
    load_bytes_first,
    load_ints,
    most,
    shift_bits,
    splat_ints,
    store_bytes_first,
    store_ints,
)
from .machine import VL, atomic_add
from .memory import address_of, load_index, load_int32, load_record, store_index
from .team import attend, lead

TASK = 16  # images


class Images(NamedTuple):
    """The arguments of one call: addresses, counts and keys."""

    images: int
    order: int
    out: int
    n: int
    seed: int
    epoch: int
    firsts: int
    weights: int
    scratch: int  # int32, of all threads
    scratch_size: int  # int32 of one thread


class Places(NamedTuple):
    """Where the int32 of a thread lie: addresses, and the distances of rows."""

    controls: int  # the displacements of the control points, first all along x
    bent: int  # control rows of displacements, for every column
    pixels: int  # the image with zeros around it: a row and column before, two after
    extremes: int  # of three pixels in a row of it
    words: int  # four neighbouring pixels each
    ld: int  # of pixels and extremes
    ldw: int  # of words


class Affine(NamedTuple):
    """The position in the image of the output pixel (0, 0), and the steps to the next ones."""

    x: int
    y: int
    x_across: int
    y_across: int
    x_down: int
    y_down: int


# The table of a job, int64: Images, Deformation, and on another cache line the next task.
PLAN = len(Images._fields)
NEXT_TASK = 32
TABLE = 40


@inner
def whole(n):
    """Return n rounded up to whole vectors of the largest size."""
    return (n + 15) // 16 * 16


@inner
def places_in(base, plan):
    """Return the places of a thread from ``base`` on, and their end."""
    ldw = whole(plan.side + 2)
    ld, n = ldw + 16, plan.controls
    bent = base + 4 * whole(2 * n * n)
    pixels = bent + 8 * n * plan.line
    extremes = pixels + 4 * (plan.side + 3) * ld
    words = extremes + 4 * (plan.side + 2) * ld
    return Places(base, bent, pixels, extremes, words, ld, ldw), words + 4 * (plan.side + 2) * ldw


@inner
def drawn(key, unit):
    """Return a random number of a sample, in units of 2**-31."""
    return np.int64(np.int32(mix(np.uint32(key ^ np.uint32(np.uint32(unit) * GOLDEN)))))


@inner
def draw_controls(key, plan, places):
    """Draw the displacements of the control points."""
    golden, keys = splat_ints(np.int64(GOLDEN)), splat_ints(np.int64(key))
    for v in range(0, 2 * plan.controls * plan.controls, VL):
        bits = (splat_ints(FIRST_CONTROL + v) + lanes()) * golden ^ keys
        bits = (bits ^ shift_bits(bits, 16)) * splat_ints(0x7FEB352D)
        bits = (bits ^ shift_bits(bits, 15)) * splat_ints(0x846CA68B)
        bits = bits ^ shift_bits(bits, 16)
        store_ints(places.controls, v, (bits >> 16) * splat_ints(plan.elastic) >> 15)


@inner
def bend_rows(plan, places, weights):
    """Interpolate the displacements of each row of control points, along x and y."""
    n = plan.controls
    for row in range(2 * n):
        for v in range(0, plan.line, VL):
            total = splat_ints(0)
            for column in range(n):
                control = splat_ints(load_int32(places.controls, row * n + column))
                total = total + control * load_ints(weights, column * plan.line + v)
            store_ints(places.bent, row * plan.line + v, total >> WEIGHT_BITS)


@inner
def turn(angle):
    """Return the cosine and the sine of an angle up to a right one, by their series."""
    one, square = 1 << TURN_BITS, angle * angle >> TURN_BITS
    cosine, sine = one, one
    for k in range(9, 0, -2):
        cosine = one - (square * cosine >> TURN_BITS) // (k * (k + 1))
    for k in range(8, 0, -2):
        sine = one - (square * sine >> TURN_BITS) // (k * (k + 1))
    return cosine, angle * sine >> TURN_BITS


@inner
def draw_affine(key, plan):
    """Draw the rotation, shear, scale and shift of a sample."""
    cosine, sine = turn(plan.rotation * drawn(key, ROTATED) >> 31)
    width = (1 << POSITION_BITS) + (plan.scale * drawn(key, WIDENED) >> 31)
    height = (1 << POSITION_BITS) + (plan.scale * drawn(key, HEIGHTENED) >> 31)
    slant = (plan.shear * drawn(key, SHEARED) >> 31) * height >> POSITION_BITS
    x_across, y_across = cosine * width >> TURN_BITS, sine * width >> TURN_BITS
    x_down = cosine * slant - sine * height >> TURN_BITS
    y_down = sine * slant + cosine * height >> TURN_BITS
    last = plan.side - 1
    middle = last << (POSITION_BITS - 1)
    x = middle + (plan.shift * drawn(key, SHIFTED_X) >> 31) - (last * (x_across + x_down) >> 1)
    y = middle + (plan.shift * drawn(key, SHIFTED_Y) >> 31) - (last * (y_across + y_down) >> 1)
    return Affine(x, y, x_across, y_across, x_down, y_down)


@inner
def read_image(image, side, places):
    """Copy an image between the zeros around it."""
    for row in range(side):
        for v in range(0, side, VL):
            loaded = load_bytes_first(image, row * side + v, side - v)
            store_ints(places.pixels, (row + 1) * places.ld + v + 1, loaded)


@inner
def extreme(a, b, c, thickens):
    """Return the largest of three, or the smallest."""
    if thickens:
        return most(most(a, b), c)
    return least(least(a, b), c)


@inner
def thicken(thickness, side, places):
    """Move each pixel towards the largest of its 3 x 3 neighbours, or the smallest."""
    pixels, extremes, ld = places.pixels, places.extremes, places.ld
    thickens = thickness > 0
    factor, half = splat_ints(abs(thickness)), splat_ints(128)
    for at in range(ld + 1, (side + 1) * ld, ld):
        for v in range(at, at + side, VL):
            before, here = load_ints(pixels, v - 1), load_ints(pixels, v)
            found = extreme(before, here, load_ints(pixels, v + 1), thickens)
            store_ints(extremes, v, found)
    for at in range(ld + 1, (side + 1) * ld, ld):
        for v in range(0, side, VL):
            above, here = load_ints(extremes, at + v - ld), load_ints(extremes, at + v)
            found = extreme(above, here, load_ints(extremes, at + v + ld), thickens)
            pixel = load_ints(pixels, at + v)
            pixel = pixel + ((found - pixel) * factor + half >> 8)
            inside = splat_ints(v) + lanes() - splat_ints(side) >> 31
            store_ints(pixels, at + v, pixel & inside)


@inner
def join_pixels(side, places):
    """Put each pixel, the next, and those below them into one word, also those that are zero."""
    pixels, ld = places.pixels, places.ld
    for row in range(side + 2):
        for v in range(0, places.ldw, VL):
            at = row * ld + v
            upper = load_ints(pixels, at) | load_ints(pixels, at + 1) << 8
            lower = load_ints(pixels, at + ld) | load_ints(pixels, at + ld + 1) << 8
            store_ints(places.words, row * places.ldw + v, upper | lower << 16)


@inner
def bent_by(bent, line, first, row_weights, v):
    """Return VL displacements, interpolated from four rows."""
    a, b, c, d = row_weights
    at = first * line + v
    upper = a * load_ints(bent, at) + b * load_ints(bent, at + line)
    at += 2 * line
    return upper + c * load_ints(bent, at) + d * load_ints(bent, at + line)


@inner
def sample_row(y, plan, places, affine, shared, out):
    """Write row y of the deformed image; ``shared`` are the addresses of firsts and weights."""
    line, side = plan.line, plan.side
    first = load_int32(shared[0], y)
    at = first * line + y
    row_weights = (
        splat_ints(load_int32(shared[1], at)),
        splat_ints(load_int32(shared[1], at + line)),
        splat_ints(load_int32(shared[1], at + 2 * line)),
        splat_ints(load_int32(shared[1], at + 3 * line)),
    )
    bent_y = places.bent + 4 * plan.controls * line
    octet, one, outside = splat_ints(255), splat_ints(1), splat_ints(side + 1)
    for v in range(0, side, VL):
        steps = splat_ints(v) + lanes()
        x = bent_by(places.bent, line, first, row_weights, v) >> plan.elastic_bits
        y_bent = bent_by(bent_y, line, first, row_weights, v) >> plan.elastic_bits
        x = x + splat_ints(affine.x + y * affine.x_down) + splat_ints(affine.x_across) * steps
        down = y_bent + splat_ints(affine.y + y * affine.y_down)
        down = down + splat_ints(affine.y_across) * steps
        column = least_unsigned((x >> POSITION_BITS) + one, outside)
        row = least_unsigned((down >> POSITION_BITS) + one, outside)
        four = gather_ints(places.words, row * splat_ints(places.ldw) + column)
        x, down = x >> (POSITION_BITS - 8) & octet, down >> (POSITION_BITS - 8) & octet
        upper, lower = four & octet, shift_bits(four, 16) & octet
        upper = (upper << 8) + ((shift_bits(four, 8) & octet) - upper) * x
        lower = (lower << 8) + (shift_bits(four, 24) - lower) * x
        shown = (upper << 8) + (lower - upper) * down + splat_ints(1 << 15) >> 16
        store_bytes_first(out, y * side + v, shown, side - v)


@inner
def augment_image(asked, plan, places, number):
    """Write one deformed image."""
    sample = load_index(asked.order, number)
    key = row_key(asked.seed, asked.epoch, sample, AUGMENTATION_LAYER)
    size = plan.side * plan.side
    read_image(asked.images + sample * size, plan.side, places)
    thickness = plan.thickness * drawn(key, THICKENED) >> 31
    if thickness:
        thicken(thickness, plan.side, places)
    join_pixels(plan.side, places)
    draw_controls(key, plan, places)
    bend_rows(plan, places, asked.weights)
    affine, shared = draw_affine(key, plan), (asked.firsts, asked.weights)
    for y in range(plan.side):
        sample_row(y, plan, places, affine, shared, asked.out + sample * size)


@c_function(3)
def take_images(table, thread, threads):
    """Take images from the shared counter, a few at a time, until none are left."""
    asked, plan = load_record(table, Images), load_record(table + 8 * PLAN, Deformation)
    base = asked.scratch + 4 * thread * asked.scratch_size
    places, end = places_in(base, plan)
    for v in range((end - base) // (4 * VL)):  # the zeros around the image
        store_ints(base, v * VL, splat_ints(0))
    while True:
        first = atomic_add(table, NEXT_TASK, 1) * TASK
        if first >= asked.n:
            break
        for number in range(first, min(first + TASK, asked.n)):
            augment_image(asked, plan, places, number)


@entry
def augment_all(tasks, table, desk, threads):
    """Deform all images of the job whose table is at an address, with the help of the desk."""
    store_index(table, NEXT_TASK, 0)
    lead(desk, tasks, table, threads)


# ---------------------------------------------------------------------------------------------
# From Python
# ---------------------------------------------------------------------------------------------


@cache
def tasks() -> int:
    """The pointer of :func:`take_images`."""
    return pointer(take_images)


def scratch_size(plan: Deformation) -> int:
    """Return the int32 that a thread needs, in whole cache lines and one more between threads."""
    side, n = plan.side, plan.controls
    ldw = -(-(side + 2) // 16) * 16
    padded = (2 * side + 5) * (ldw + 16) + (side + 2) * ldw
    return -(-2 * n * n // 16) * 16 + 2 * n * plan.line + padded + 16


def augment_images(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
    made: tuple[Deformation, np.ndarray, np.ndarray],
    seed: int,
    epoch: int,
    threads: int,
) -> None:
    """Deform images on at most ``threads`` threads.

    ``arrays`` are the images, their order and the output, ``made`` is the plan of the options.
    """
    (images, order, out), (plan, firsts, weights) = arrays, made
    size = scratch_size(plan)
    scratch, table = np.empty(threads * size, np.int32), np.zeros(TABLE, np.int64)
    asked = Images(
        address_of(images), address_of(order), address_of(out), len(order), seed, epoch,
        address_of(firsts), address_of(weights), address_of(scratch), size,
    )  # fmt: skip
    table[:PLAN], table[PLAN : PLAN + len(plan)] = asked, plan
    function, start = tasks(), address_of(table)
    run_tasks(threads, lambda desk, n: augment_all(function, start, desk, n), attend)
