"""Changes to files: flipped bits, other numbers, parts taken out, doubled or put elsewhere."""

import re

_NUMBERS = (0, 1, 2, 7, 127, 128, 255, 256, 32767, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
_TEXTS = (
    b"-1", b"0", b"1e999", b"NaN", b"Infinity", b"1" + b"0" * 400, b"9" * 5000, b"null", b"true",
    b"[" * 60, b"[" * 5000, b'{"a":' * 2000, b"{}", b"[]", b'""', b'"', b"'", b"\\", b",", b"\n",
    b"\r", b"\0", b"\x1b]0;title\x07", b"\x1b[2J", b"<script>", b"=cmd()", b"*/", b"[bold]",
    b"\xff\xfe", b"\xed\xa0\x80", b"\xe2\x80\xae", b"x" * 3000, b"../" * 9, b"/dev/zero", b"$x_{$",
)  # fmt: skip


def mutated(content, rng, others=()):
    """Return a file with one change or some; ``others`` are files to take parts from."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        content = _changed(content, rng, others)
    return content[: 2**20]


def _changed(content, rng, others):
    place = rng.randrange(len(content) + 1)
    length = min(rng.choice((1, 1, 2, 4, 8, 40, 500)), len(content) - place)
    kind = rng.randrange(9)
    if kind == 0 and place < len(content):
        return _put(content, place, bytes([content[place] ^ 1 << rng.randrange(8)]), 1)
    if kind == 1:
        return _put(content, place, rng.randbytes(length), length)
    if kind == 2:
        width = rng.choice((1, 2, 4, 8))
        number = (rng.choice(_NUMBERS) + rng.choice((-1, 0, 0, 1))) % 256**width
        return _put(content, place, number.to_bytes(width, rng.choice(("big", "little"))), width)
    if kind == 3:
        return _put(content, place, b"", length)
    if kind == 4:
        return _put(
            content, place, content[place : place + length] * rng.choice((2, 3, 50)), length
        )
    if kind == 5:
        return content[:place]
    if kind == 6:
        return _put(content, place, rng.choice(_TEXTS), rng.choice((0, length)))
    if kind == 7 and others:
        other = rng.choice(others)
        start = rng.randrange(len(other) + 1)
        return _put(content, place, other[start : start + rng.choice((4, 40, 4000))], length)
    words = list(re.finditer(rb"-?\d+(?:\.\d+)?|\"[^\"]{0,40}\"|null|true|false", content[:20_000]))
    if not words:
        return content
    word = rng.choice(words)  # a value of a text takes that of another
    value = rng.choice((rng.choice(words)[0], rng.choice(_TEXTS), b'"%s"' % rng.choice(_TEXTS)))
    return content[: word.start()] + value + content[word.end() :]


def _put(content, place, part, length):
    return content[:place] + part + content[place + length :]
