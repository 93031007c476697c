"""Pictures as people make them, derived from clean digits: a function a kind, all in `KINDS`.

A kind takes a random generator and a glyph and returns the bytes of a file. A glyph is the shape
of one digit, (H, W) floats in [0, 1], 1 where ink is, cropped to the digit: from an image of
MNIST (`glyph_of`) or from the strokes of a pen (`pen_glyphs`).
"""

import io
from itertools import product

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from mnistcore.pictures.regions import find_regions

LENGTH = 160  # of a glyph's long side, in pixels


def glyph_of(image, length=LENGTH):
    """The glyph of an MNIST image: enlarged, its edges sharp again."""
    rows, columns = np.flatnonzero(image.max(axis=1) > 60), np.flatnonzero(image.max(axis=0) > 60)
    part = np.pad(image, 2)[rows[0] : rows[-1] + 5, columns[0] : columns[-1] + 5]
    factor = length / (max(part.shape) - 4)
    large = _resized(part / 255, factor)
    return cropped(np.clip((large - 0.5) * factor / 1.5 + 0.5, 0, 1))


def pen_glyphs(n, seed, pen=None, length=LENGTH):
    """Up to 500 digits drawn with a pen of a share of their height, and their labels."""
    from mnistcore.data import synthetic

    assert n <= synthetic.CHUNK
    rng = np.random.default_rng(seed)
    labels = rng.permuted(np.tile(np.arange(10), (synthetic.CHUNK // 10, 1)), axis=1).ravel()
    paths = np.stack(synthetic._distort(rng, *synthetic._write(rng, labels)), axis=2)
    pens = np.exp(rng.uniform(np.log(0.015), np.log(0.16), n)) if pen is None else np.full(n, pen)
    return [_drawn(paths[:, i], pens[i], length) for i in range(n)], labels[:n]


def _drawn(path, pen, length):
    path = path - path.min(axis=0)
    path = path * (4 * length / path.max()) + 4 * length
    image = Image.new("L", (12 * length, 12 * length))
    draw = ImageDraw.Draw(image)
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    width = max(4 * pen * length, 4)
    for start, stop, step in zip(path, path[1:], steps, strict=False):
        if step < 3 * np.median(steps):
            draw.line([*start, *stop], fill=255, width=round(width))
        draw.ellipse([*(stop - width / 2), *(stop + width / 2)], fill=255)
    return cropped(np.asarray(image.reduce(4)) / 255)


def rewritten(glyph, pen):
    """The same digit with another pen, whose width is a share of the digit's length."""
    line = np.pad(_skeleton(np.pad(glyph, 4) > 0.5), int(pen * max(glyph.shape)) + 2)
    size = max(1, round(pen * max(glyph.shape)) // 2 * 2 + 1)
    round_pen = np.hypot(*np.mgrid[-(size // 2) : size // 2 + 1, -(size // 2) : size // 2 + 1])
    padded, grown = np.pad(line, size), np.zeros_like(line)
    for y, x in np.argwhere(round_pen <= size / 2):
        grown |= padded[y + size // 2 + 1 :, x + size // 2 + 1 :][: line.shape[0], : line.shape[1]]
    soft = Image.fromarray((grown * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))
    return cropped(np.asarray(soft) / 255)


_AROUND = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))


def _skeleton(mask):
    """T. Zhang, C. Suen, "A fast parallel algorithm for thinning digital patterns", 1984."""
    mask = np.pad(mask, 1)
    changed = True
    while changed:
        changed = False
        for first in (True, False):
            p = np.stack([np.roll(mask, step, (0, 1)) for step in _AROUND])
            count = p.sum(axis=0, dtype=np.uint8)
            turns = (~p & np.roll(p, -1, axis=0)).sum(axis=0, dtype=np.uint8)
            n, e, s, w = p[0], p[2], p[4], p[6]
            open_ = (~(n & e & s) & ~(e & s & w)) if first else (~(n & e & w) & ~(n & s & w))
            gone = mask & (count >= 2) & (count <= 6) & (turns == 1) & open_
            mask = mask & ~gone
            changed |= bool(gone.any())
    return mask[1:-1, 1:-1]


def opened(glyph, gap=0.07):
    """A 4 whose two strokes do not touch: cut by a slit of a share of its height; None if no cut
    leaves a short stroke to the left of a tall one."""
    height, width = glyph.shape
    y, x = np.mgrid[:height, :width]

    def slit(slope, across):
        return np.abs(x - (across * width - slope * (y - height / 2))) < gap * height / 2

    slits = product(np.linspace(-0.5, 0.5, 11), np.linspace(0.35, 0.9, 23))
    for _, *place in sorted((float(glyph[slit(*place)].sum()), *place) for place in slits):
        cut = glyph * ~slit(*place)  # the first one that will do takes the least ink
        marks = find_regions(cut > 0.4)
        large = np.flatnonzero(marks.area > 0.12 * marks.area.sum())
        if len(marks) > 2 or len(large) != 2:
            continue
        left, right = sorted(large, key=lambda mark: marks.left[mark])
        heights = (marks.bottom - marks.top) / height
        if heights[right] > 0.6 and 0.3 < heights[left] < 0.95:
            return cropped(cut)
    return None


def cropped(glyph):
    rows, columns = (np.flatnonzero(glyph.max(axis=a) > 0.3) for a in (1, 0))
    return glyph[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _resized(values, factor):
    height, width = (max(1, round(side * factor)) for side in values.shape)
    image = Image.fromarray(np.asarray(values, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)


def laid(glyph, size, length, rng, spread=0.6):
    """A glyph of a length on a page (H, W) of nothing, off its centre by a share of the room."""
    glyph = _resized(glyph, length / max(glyph.shape))
    page = np.zeros(size, np.float32)
    room = np.array(size) - glyph.shape
    top, left = (room * (0.5 + spread * (rng.random(2) - 0.5))).astype(int).clip(0, room)
    page[top : top + glyph.shape[0], left : left + glyph.shape[1]] = glyph
    return page


def _inked(page, paper, ink):
    """Paper and ink (3 values or (H, W, 3)) mixed by how much ink lies on the page (H, W)."""
    page = page[:, :, None]
    return paper * (1 - page) + ink * page


def encoded(pixels, kind="PNG", **options):
    pixels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return file_of(Image.fromarray(pixels), kind, **options)


def file_of(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _page(rng, glyph, low=60, high=500, share=(0.3, 0.8)):
    """A page of some size with a digit of some size."""
    length = int(rng.integers(low, high) * rng.uniform(*share))
    side = int(length / rng.uniform(*share)) + 2
    shape = (side, int(side * rng.uniform(1, 1.4)))
    return laid(glyph, shape if rng.random() < 0.5 else shape[::-1], length, rng)


def _gradient(shape, rng, low=0.55, high=1.0):
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    slope = (np.cos(angle) * x + np.sin(angle) * y) / 1.5
    return low + (high - low) * (slope + 1) / 2


def _grain(shape, rng, scale):
    """Low-frequency texture of standard deviation about 1."""
    small = rng.normal(size=[max(2, int(side / scale)) for side in shape]).astype(np.float32)
    image = Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC)
    return np.asarray(image)


def _grey3(values):
    return np.repeat(values[:, :, None], 3, axis=2)


def _tint(rng, low, high):
    return rng.uniform(low, high, 3)


def black_on_white(rng, glyph):
    return encoded(1 - _page(rng, glyph))


def white_on_black(rng, glyph):
    return encoded(_page(rng, glyph))


def coloured_gradient(rng, glyph):
    page = _page(rng, glyph)
    paper = _tint(rng, 0.6, 1) * _gradient(page.shape, rng)[:, :, None]
    return encoded(_inked(page, paper, _tint(rng, 0, 0.25)))


def coloured_ink(rng, glyph):
    """Two colours, apart but perhaps of one lightness."""
    page = _page(rng, glyph)
    while True:
        paper, ink = _tint(rng, 0.1, 1), _tint(rng, 0, 0.9)
        if np.linalg.norm(paper - ink) > 0.5:
            return encoded(_inked(page, paper, ink) + rng.normal(0, 0.02, (*page.shape, 3)))


def hard_shadow(rng, glyph):
    page = _page(rng, glyph)
    y, x = np.mgrid[: page.shape[0], : page.shape[1]]
    angle, across = rng.uniform(0, np.pi), rng.uniform(0.25, 0.75)
    line = np.cos(angle) * (x - across * page.shape[1]) + np.sin(angle) * (y - page.shape[0] / 2)
    light = 1 - rng.uniform(0.25, 0.5) / (1 + np.exp(-line / rng.uniform(1, 20)))
    paper = light[:, :, None] * _tint(rng, 0.8, 0.95)
    ink = light[:, :, None] * _tint(rng, 0.05, 0.3)
    return encoded(_inked(page, paper, ink) + rng.normal(0, 0.015, (*page.shape, 3)), "JPEG")


def vignette(rng, glyph):
    page = _page(rng, glyph)
    y, x = np.mgrid[-1 : 1 : page.shape[0] * 1j, -1 : 1 : page.shape[1] * 1j]
    light = 1 - rng.uniform(0.2, 0.4) * (x**2 + y**2)
    return encoded(_grey3(light * (0.9 - 0.7 * page)), "JPEG", quality=80)


def _lines(shape, rng, tilted=True):
    pitch = min(shape) / rng.uniform(4, 12)
    thick = max(1, pitch * rng.uniform(0.02, 0.06))
    tilt = rng.uniform(-0.05, 0.05) if tilted else 0
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y + tilt * x + rng.uniform(0, pitch)) % pitch < thick).astype(np.float32)


def _on_lines(rng, page, lines):
    lines = np.asarray(lines) * rng.uniform(0.15, 0.4)
    paper = 0.95 - lines[:, :, None] * np.array([1, 0.7, 0.3])
    ink = np.full(3, rng.uniform(0.05, 0.25)) + np.array([0, 0, rng.uniform(0, 0.4)])
    return encoded(_inked(page, paper, ink) + rng.normal(0, 0.01, (*page.shape, 3)), "JPEG")


def ruled(rng, glyph):
    page = _page(rng, glyph, 200, 700)
    return _on_lines(rng, page, _lines(page.shape, rng))


def squared(rng, glyph):
    page = _page(rng, glyph, 300, 700)
    state = rng.bit_generator.state
    across = _lines(page.shape, rng)
    rng.bit_generator.state = state
    return _on_lines(rng, page, np.maximum(across, _lines(page.shape[::-1], rng).T))


def jpeg(rng, glyph):
    page = _page(rng, glyph)
    return encoded(0.95 - 0.85 * page, "JPEG", quality=int(rng.integers(5, 25)))


def noisy(rng, glyph):
    page = _page(rng, glyph)
    return encoded(0.75 - 0.5 * page + rng.normal(0, rng.uniform(0.03, 0.09), page.shape))


def salt_and_pepper(rng, glyph):
    pixels = 0.9 - 0.8 * _page(rng, glyph, 120)
    hit = rng.random(pixels.shape)
    pixels[hit < 0.02] = 0
    pixels[hit > 0.98] = 1
    return encoded(pixels)


def pencil(rng, glyph):
    page = _page(rng, glyph, 150)
    page *= 0.75 + 0.25 * _grain(page.shape, rng, 3).clip(-1, 1)
    paper = 0.85 + 0.012 * _grain(page.shape, rng, 2)
    return encoded(paper - rng.uniform(0.12, 0.3) * page, "JPEG", quality=85)


def grainy(rng, glyph):
    page = _page(rng, glyph, 150)
    paper = 0.8 + 0.03 * _grain(page.shape, rng, 4) + 0.03 * _grain(page.shape, rng, 12)
    return encoded(paper - 0.55 * page, "JPEG", quality=85)


def transparent(rng, glyph):
    """Ink in the alpha channel, black, white or coloured."""
    page = _page(rng, glyph)
    rgba = np.zeros((*page.shape, 4))
    rgba[:, :, :3] = ((0, 0, 0), (1, 1, 1), _tint(rng, 0, 1))[rng.integers(3)]
    rgba[:, :, 3] = page
    return encoded(rgba, ("PNG", "WEBP")[rng.integers(2)])


def odd_mode(rng, glyph):
    """Modes that files have besides grey and RGB."""
    page = _page(rng, glyph)
    pixels = 1 - page if rng.random() < 0.7 else page
    image = Image.fromarray(np.rint(255 * pixels).astype(np.uint8))
    mode = ("1", "P", "LA", "CMYK", "I;16", "F", "GIF", "YCbCr")[rng.integers(8)]
    if mode == "I;16":
        return file_of(Image.fromarray((pixels * 65535).astype(np.uint16)))
    if mode == "F":
        return file_of(Image.fromarray(pixels.astype(np.float32)), "TIFF")
    if mode == "GIF":
        frames = [Image.new("L", image.size, 128)]
        return file_of(image, "GIF", save_all=True, append_images=frames)
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    return file_of(image.convert("RGB" if mode == "CMYK" else "L").convert(mode), kind)


def turned_by_exif(rng, glyph):
    page = _page(rng, glyph)
    orientation = int(rng.choice([2, 3, 4, 5, 6, 7, 8]))
    upright = Image.fromarray(np.rint(255 * (1 - 0.9 * page)).astype(np.uint8))
    stored = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM], 5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90], 7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[orientation]  # fmt: skip
    for step in stored:
        upright = upright.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file_of(upright, "JPEG", exif=exif.tobytes())


def tiny(rng, glyph):
    length = int(rng.integers(9, 18))
    return encoded(1 - laid(glyph, (length + 3, length + 3), length, rng))


def huge(rng, glyph):
    return encoded(1 - 0.9 * laid(glyph, (2000, 1500), 900, rng), "JPEG", quality=80)


def far_off(rng, glyph):
    """Small, somewhere on a large page."""
    side = int(rng.integers(600, 1500))
    page = laid(glyph, (side, side), int(side * rng.uniform(0.05, 0.12)), rng, 0.95)
    return encoded(0.93 - 0.8 * page + rng.normal(0, 0.01, page.shape), "JPEG", quality=85)


def at_the_edge(rng, glyph):
    """Cropped to the digit, on some sides entirely."""
    pad = rng.integers(0, 2, (2, 2)) * int(rng.integers(4, 60))
    return encoded(1 - 0.9 * np.pad(_resized(glyph, rng.uniform(0.3, 2)), pad))


def thin(rng, glyph):
    page = _page(rng, rewritten(glyph, 0.015), 150, 700, (0.5, 0.8))
    return encoded(1 - 0.9 * page)


def hairline(rng, glyph):
    """A line of a pixel in a thousand."""
    line = laid(_skeleton(np.pad(_resized(glyph, 4), 3) > 0.5), (1000, 1000), 640, rng)
    return encoded(1 - (line > 0.5))


def thick(rng, glyph):
    page = _page(rng, rewritten(glyph, rng.uniform(0.15, 0.22)), 60, 500, (0.5, 0.8))
    return encoded(1 - 0.9 * page)


def mouse_28(rng, glyph):
    """Drawn in 28 x 28 with a hard pen of 1 to 3 pixels, anywhere, dark or light."""
    pen = rewritten(glyph, rng.uniform(0.05, 0.2))
    page = laid(pen, (28, 28), int(rng.integers(13, 26)), rng, 1.0) > 0.4
    return encoded(np.abs(page - float(rng.random() < 0.5)))


def canvas(rng, glyph):
    """Drawn with the mouse on a canvas of a web page."""
    pen = rewritten(glyph, rng.uniform(0.04, 0.14))
    page = laid(pen, (280, 280), int(rng.integers(100, 260)), rng, 0.8)
    return encoded(np.abs(page - float(rng.random() < 0.5)), ("PNG", "WEBP")[rng.integers(2)])


def broken(rng, glyph):
    """Gaps across the strokes."""
    page = _page(rng, glyph, 150)
    length = np.ptp(np.flatnonzero(page.max(axis=1) > 0.5)) + 1
    where = np.argwhere(page > 0.5)
    y, x = np.mgrid[: page.shape[0], : page.shape[1]]
    for _ in range(3):
        cy, cx = where[rng.integers(len(where))]
        angle = rng.uniform(0, np.pi)
        gap = np.abs(np.cos(angle) * (x - cx) + np.sin(angle) * (y - cy)) < 0.02 * length
        page[gap & (np.hypot(x - cx, y - cy) < 0.12 * length)] = 0
    return encoded(1 - 0.9 * page)


def dirty(rng, glyph):
    """Specks around."""
    page = _page(rng, glyph, 120)
    y, x = np.mgrid[: page.shape[0], : page.shape[1]]
    for _ in range(int(rng.integers(3, 15))):
        cy, cx = rng.random(2) * page.shape
        radius = max(page.shape) * rng.uniform(0.002, 0.012)
        page = np.maximum(page, (np.hypot(y - cy, x - cx) < radius) * 1.0)
    return encoded(0.95 - 0.85 * page)


def framed(rng, glyph):
    length = int(rng.integers(60, 300))
    page = laid(glyph, (int(1.6 * length),) * 2, length, rng, 0.3)
    line = max(1, length // int(rng.integers(20, 80)))
    box = np.pad(np.zeros(np.array(page.shape) - 2 * line), line, constant_values=1)
    page = np.pad(np.maximum(page, box), int(length * rng.uniform(0.05, 0.4)))
    return encoded(0.95 - 0.85 * page)


def blackboard(rng, glyph):
    page = _page(rng, glyph, 150)
    page = page * (0.75 + 0.2 * _grain(page.shape, rng, 1.5)).clip(0, 1)
    board = 0.25 + 0.03 * _grain(page.shape, rng, 20) + 0.01 * _grain(page.shape, rng, 2)
    ground = board[:, :, None] * np.array([0.8, 1.1, 0.9])
    return encoded(_inked(page, ground, np.array([0.9, 0.9, 0.85])), "JPEG", quality=80)


def blurred(rng, glyph):
    page = _page(rng, glyph, 150)
    image = Image.fromarray(np.rint(255 * (0.9 - 0.7 * page)).astype(np.uint8))
    radius = max(page.shape) * rng.uniform(0.005, 0.015)
    return file_of(image.filter(ImageFilter.GaussianBlur(radius)), "JPEG", quality=70)


def _turned(pixels, rng, degrees, fill):
    image = Image.fromarray(np.rint(255 * pixels.clip(0, 1)).astype(np.uint8))
    turned = image.rotate(rng.uniform(-degrees, degrees), Image.Resampling.BICUBIC, fillcolor=fill)
    return np.asarray(turned) / 255


def photograph(rng, glyph):
    """Pen on paper: uneven light, a soft shadow, grain, blur, noise, a little turned."""
    long_side = int(rng.integers(600, 1600))
    shape = (long_side * 3 // 4, long_side)
    pen = rewritten(glyph, rng.uniform(0.02, 0.07))
    page = laid(pen, shape, int(shape[0] * rng.uniform(0.15, 0.7)), rng, 0.7)
    page = page * (0.9 + 0.1 * _grain(shape, rng, 3)).clip(0, 1)
    light = _gradient(shape, rng, 0.6, 1.0) * (1 - 0.12 * (1 + _grain(shape, rng, long_side / 3)))
    paper = 0.85 + 0.01 * _grain(shape, rng, 2) + 0.01 * _grain(shape, rng, 15)
    ink = np.array([[0.1, 0.1, 0.12], [0.1, 0.15, 0.5], [0.5, 0.5, 0.5]])[rng.integers(3)]
    pixels = _inked(page, _grey3(paper), ink) * light[:, :, None] * np.array([1, 0.96, 0.85])
    image = Image.fromarray(np.rint(255 * pixels.clip(0, 1)).astype(np.uint8))
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(1.2))) / 255
    pixels = pixels + rng.normal(0, 0.02, pixels.shape)
    return encoded(pixels, "JPEG", quality=int(rng.integers(50, 90)))


def on_a_table(rng, glyph):
    """A sheet of paper that does not fill the picture."""
    side = int(rng.integers(300, 800))
    shape = (side, int(side * 1.3))
    table = 0.35 + 0.05 * _grain(shape, rng, 9) + 0.1 * _gradient(shape, rng)
    pixels = _grey3(table) * np.array([1, 0.75, 0.5])
    sheet_shape = tuple(int(s * rng.uniform(0.65, 0.8)) for s in shape)
    page = laid(glyph, sheet_shape, int(min(sheet_shape) * rng.uniform(0.3, 0.6)), rng)
    sheet = _inked(page, np.full(3, 0.9), np.array([0.15, 0.15, 0.3]))
    top, left = (np.array(shape) - sheet_shape) // 2
    pixels[top : top + sheet_shape[0], left : left + sheet_shape[1]] = sheet
    light = _gradient(shape, rng, 0.7, 1.0)[:, :, None]
    pixels = _turned(pixels, rng, 5, (90, 70, 45)) * light
    return encoded(pixels + rng.normal(0, 0.015, pixels.shape), "JPEG", quality=80)


def number(rng, lines, gap=0.35):
    """Lines of glyphs on photographed paper, written along a slope; the bytes of a file."""
    size, rows = 80, []
    for line in lines:
        glyphs = [_resized(glyph, size * rng.uniform(0.9, 1.1) / len(glyph)) for glyph in line]
        width = sum(glyph.shape[1] + int(gap * size) for glyph in glyphs)
        row, left = np.zeros((2 * size, width + size), np.float32), size // 2
        for glyph in glyphs:
            top = int(rng.uniform(0.35, 0.55) * size)
            row[top : top + len(glyph), left : left + glyph.shape[1]] = glyph
            left += glyph.shape[1] + int(gap * size)
        rows.append(row)
    width = max(row.shape[1] for row in rows)
    page = np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]))) for row in rows])
    page = np.pad(page, size // 2)
    light = _gradient(page.shape, rng, 0.65, 1.0)
    paper = 0.88 + 0.01 * _grain(page.shape, rng, 3)
    pixels = _inked(page, _grey3(paper), np.array([0.12, 0.14, 0.35])) * light[:, :, None]
    pixels = _turned(pixels, rng, 2, (200, 200, 200)) + rng.normal(0, 0.015, pixels.shape)
    return encoded(pixels, "JPEG", quality=80)


def row(rng, glyphs, size=80, gap=0.35):
    """Glyphs in a row on a page (H, W) with a wide rim, and the column of each one's middle."""
    glyphs = [_resized(glyph, size * rng.uniform(0.9, 1.1) / len(glyph)) for glyph in glyphs]
    gap = int(gap * size)
    page = np.zeros((3 * size, sum(g.shape[1] + gap for g in glyphs) + 2 * size), np.float32)
    left, middles = size, []
    for glyph in glyphs:
        top = int(rng.uniform(0.9, 1.1) * size)
        page[top : top + len(glyph), left : left + glyph.shape[1]] = glyph
        middles.append(left + glyph.shape[1] / 2)
        left += glyph.shape[1] + gap
    return page, middles


EDGES = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
CORNERS = {
    f"{v} {h}": (EDGES[h][0], EDGES[v][1]) for v in ("top", "bottom") for h in ("left", "right")
}
PLACES = EDGES | CORNERS | {"middle": (0, 0), "diagonal": (1, 1)}


def patch(rng, shape, place, share, soft):
    """A patch of light or shade: (H, W) from 0 to 1, over a share of the area, hard or soft."""
    x, y = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape[::-1]))
    across, down = PLACES[place]
    if place in CORNERS:
        near = -np.hypot(x - across, y - down)
    elif place == "middle":
        near = -np.hypot(x - rng.uniform(-0.5, 0.5), y - rng.uniform(-0.3, 0.3))
    else:
        near = across * x + down * y + rng.uniform(-0.05, 0.05) * (x * down + y * across)
    limit = np.quantile(near, 1 - share)
    width = rng.uniform(0.1, 0.3) if soft else 0.004
    return 1 / (1 + np.exp((limit - near).clip(-40 * width, 40 * width) / width))


def lit(rng, page, light=True, glare=0.0, shade=0.0, corners=0.0):
    """Ink on grey paper (or chalk on a board), with what shines on it and what shades it.

    ``glare`` and ``shade`` are patches (H, W) or 0, ``corners`` how much the corners are darker.
    """
    paper, ink = (0.59, rng.uniform(0.1, 0.25)) if light else (0.22, rng.uniform(0.75, 0.9))
    y, x = np.mgrid[-1 : 1 : page.shape[0] * 1j, -1 : 1 : page.shape[1] * 1j]
    pixels = (paper + (ink - paper) * page) * (1 - rng.uniform(0.3, 0.6) * shade)
    pixels = pixels * (1 - corners * (x**2 + y**2) / 2) + 0.39 * glare
    return encoded(
        _grey3(pixels.clip(0, 0.98) + rng.normal(0, 0.01, page.shape)), "JPEG", quality=85
    )


def _lights():
    """Name to a function of (rng, page) that returns the bytes of a file."""

    def with_patch(kind, place, share, soft, light):
        def picture(rng, page):
            return lit(rng, page, light, **{kind: patch(rng, page.shape, place, share, soft)})

        return picture

    def both(soft, light):
        def picture(rng, page):
            places = rng.permutation(sorted(EDGES | CORNERS))
            shares = rng.uniform(0.04, 0.15, 2)
            glare, shade = (
                patch(rng, page.shape, place, share, soft)
                for place, share in zip(places[:2], shares, strict=True)
            )
            return lit(rng, page, light, glare, shade)

        return picture

    lights = {}
    for light, ground in ((True, "paper"), (False, "board")):
        for soft, edge in ((False, "hard"), (True, "soft")):
            for kind in ("glare", "shade"):
                for place in PLACES:
                    for share in (0.05, 0.15) if place != "diagonal" else (0.5,):
                        name = f"{kind}, {place}, {share:.0%}, {edge}, {ground}"
                        lights[name] = with_patch(kind, place, share, soft, light)
            lights[f"both, {edge}, {ground}"] = both(soft, light)
        lights[f"vignette, {ground}"] = lambda rng, page, light=light: lit(
            rng, page, light, corners=rng.uniform(0.4, 0.7)
        )
        lights[f"even, {ground}"] = lambda rng, page, light=light: lit(rng, page, light)
    return lights


LIGHTS = _lights()


KINDS = {
    kind.__name__: kind
    for kind in (
        black_on_white, white_on_black, coloured_gradient, coloured_ink, hard_shadow, vignette,
        ruled, squared, jpeg, noisy, salt_and_pepper, pencil, grainy, transparent, odd_mode,
        turned_by_exif, tiny, huge, far_off, at_the_edge, thin, hairline, thick, mouse_28, canvas,
        broken, dirty, framed, blackboard, blurred, photograph, on_a_table,
    )
}  # fmt: skip
