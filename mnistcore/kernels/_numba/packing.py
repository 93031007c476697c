"""The packing of parameters and state: between the public row-major layout and the panels."""

from .functions import c_function, call, inner
from .memory import load_record
from .narrow import Strips
from .plan import Layer, layer_at
from .team import share
from .tile import STRIPE, copy_row


@inner
def pack_weights(layer, flat, base, packed, thread, threads):
    """Pack this thread's share of a layer's weights at ``flat`` into panels at base + packed."""
    first, last = share(layer.panels, thread, threads)
    for top in range(0, layer.fan_in, STRIPE):
        for panel in range(first, last):
            column, width = panel * layer.width, layer.width
            for i in range(top, min(top + STRIPE, layer.fan_in)):
                source = layer.weight_offset + i * layer.fan_out + column
                target = packed + layer.weights + (panel * layer.fan_in + i) * width
                copy_row(flat, source, layer.fan_out - column, base, target, width)


@inner
def unpack_weights(layer, base, packed, flat, thread, threads):
    """Unpack: the inverse of :func:`pack_weights`."""
    first, last = share(layer.panels, thread, threads)
    for top in range(0, layer.fan_in, STRIPE):
        for panel in range(first, last):
            column = panel * layer.width
            n = min(layer.width, layer.fan_out - column)
            for i in range(top, min(top + STRIPE, layer.fan_in)):
                source = packed + layer.weights + (panel * layer.fan_in + i) * layer.width
                target = layer.weight_offset + i * layer.fan_out + column
                copy_row(base, source, n, flat, target, n)


@inner
def pack_bias(layer, flat, base, packed):
    """Pack a layer's bias, and its gain, zero-padded to whole panels."""
    width, n = layer.width * layer.panels, layer.fan_out
    copy_row(flat, layer.bias_offset, n, base, packed + layer.bias, width)
    if layer.normalized:
        copy_row(flat, layer.bias_offset + n, n, base, packed + layer.gain, width)


@inner
def unpack_bias(layer, base, packed, flat):
    """Unpack: the inverse of :func:`pack_bias`."""
    n = layer.fan_out
    copy_row(base, packed + layer.bias, n, flat, layer.bias_offset, n)
    if layer.normalized:
        copy_row(base, packed + layer.gain, n, flat, layer.bias_offset + n, n)


@inner
def parts_of(place, team):
    """Return the first part of the inputs that a thread owns, and where its last part ends."""
    return share(load_record(place.strips, Strips).parts, team.thread, team.threads)


@c_function(8)
def pack(net, n_layers, flat, base, packed, thread, threads, own_copies):
    """Pack a flat vector; with ``own_copies``, all but the first layer's weights by each thread."""
    own_thread, own_threads = (0, 1) if own_copies else (thread, threads)
    for number in range(n_layers):
        layer = load_record(layer_at(net, number), Layer)
        if number or not own_copies:
            pack_weights(layer, flat, base, packed, own_thread, own_threads)
        if own_thread == 0:
            pack_bias(layer, flat, base, packed)


@c_function(8)
def unpack(net, n_layers, flat, base, packed, thread, threads, own_copies):
    """Unpack: the inverse of :func:`pack`; of equal copies, the first thread's is used."""
    for number in range(n_layers):
        layer = load_record(layer_at(net, number), Layer)
        if not own_copies:
            unpack_weights(layer, base, packed, flat, thread, threads)
        elif number and thread == 0:
            unpack_weights(layer, base, packed, flat, 0, 1)
        if thread == 0:
            unpack_bias(layer, base, packed, flat)


@inner
def copy_parameters(copy, copy_strips, run, plan, place, team, first_slot):
    """Pack, or unpack: ``copy`` is one of the two, ``copy_strips`` the same for strips.

    Slot 0 is the parameters, 1 + i is row i of the state; those from ``first_slot`` on.
    """
    own_copies = plan.parts > 1
    for slot in range(first_slot, run.slots + 1):
        flat = run.state + 4 * (slot - 1) * run.n_params if slot else run.params
        packed = slot * plan.slot_size
        call(
            copy,
            (
                place.net, place.n_layers, flat, place.base, packed, team.thread, team.threads,
                own_copies,
            ),
        )  # fmt: skip
        if place.strips:
            first, stop = parts_of(place, team)
            for part in range(first, stop):
                call(copy_strips, (place.strips, place.net, flat, place.base, packed, part))
