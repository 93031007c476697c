"""Opening pictures: formats, modes, transparency, orientation, limits, and what is no picture."""

import contextlib
import io
import struct
import subprocess
import sys
import zipfile
import zlib
from types import SimpleNamespace

import nasty_pictures
import numpy as np
import pytest
from PIL import Image, ImageFilter, features

from mnistcore.pictures import files
from mnistcore.pictures.files import PictureError, open_picture, picture_of, shrink
from mnistcore.system.decoding import decode


@pytest.fixture(scope="module")
def grey():
    """A dark bar on light paper, not symmetric in any way."""
    pixels = np.full((40, 60), 230, np.uint8)
    pixels[5:30, 8:14] = 20
    return pixels


def file_of(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", files.FORMATS)
def test_every_format(grey, kind):
    picture = open_picture(file_of(Image.fromarray(grey), kind))
    assert picture.size == (60, 40)
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.shape[:2] == (40, 60)
    seen = picture.pixels.mean(axis=2)
    np.testing.assert_allclose(seen, grey / 255, atol=0.15 if kind in ("JPEG", "WEBP") else 1e-6)


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX", "EPS"])
def test_other_formats_are_not_decoded(grey, kind):
    with pytest.raises(PictureError, match=r"is not a picture(, or damaged; PNG, .* can| but )"):
        open_picture(file_of(Image.fromarray(grey).convert("RGB"), kind))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "PA", "RGB", "RGBA", "I;16", "I"])
def test_every_mode(grey, mode):
    image = Image.fromarray(grey)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "I":
        image = Image.fromarray(grey.astype(np.int32) * 257)
    elif mode == "1":
        image = image.point(lambda value: 255 * (value > 128)).convert("1")
    else:
        image = image.convert(mode)
    picture = open_picture(file_of(image, "TIFF" if mode in ("I", "PA") else "PNG"))
    seen = picture.pixels.mean(axis=2)
    np.testing.assert_allclose(seen, grey / 255, atol=0.1 if mode == "1" else 0.005)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright(grey, orientation):
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = Image.fromarray(grey)
    if orientation > 1:
        stored = stored.transpose(turns[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = open_picture(file_of(stored, "PNG", exif=exif.tobytes()))
    assert picture.size == (60, 40)
    np.testing.assert_allclose(picture.pixels[:, :, 0], grey / 255, atol=1e-6)


@pytest.mark.parametrize(("ink", "paper"), [(0, 1), (255, 0)])
def test_ink_on_nothing_gets_paper_that_it_stands_out_from(grey, ink, paper):
    rgba = np.full((40, 60, 4), ink, np.uint8)
    rgba[:, :, 3] = 255 * (grey < 100)
    pixels = open_picture(file_of(Image.fromarray(rgba), "PNG")).pixels
    assert (pixels[grey > 100] == paper).all()
    assert (pixels[grey < 100] == ink / 255).all()


def test_what_lies_under_transparent_pixels_is_not_seen(grey):
    rgba = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    rgba[:, 40:] = (0, 0, 0, 0)
    pixels = open_picture(file_of(Image.fromarray(rgba), "PNG")).pixels
    np.testing.assert_allclose(pixels[:, 40:], 230 / 255, atol=1e-6)  # as the paper beside it


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("dark", [True, False])
def test_paper_that_was_made_transparent_is_filled_with_its_like(soft, dark):
    """As GIF does it: one grey is clear, and the soft edges of the ink are not."""
    glyph = nasty_pictures.pen_glyphs(1, 0, pen=0.1)[0][0]
    ink = np.rint(255 * np.pad(glyph, 19)).astype(np.uint8)
    ink = np.asarray(Image.fromarray(ink).filter(ImageFilter.GaussianBlur(5 * soft)))
    grey = 255 - ink if dark else ink
    content = file_of(Image.fromarray(grey), "GIF", transparency=255 if dark else 0)
    np.testing.assert_allclose(open_picture(content).pixels[:, :, 0], grey / 255, atol=0.15)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_of_several_pictures_in_a_file_the_first_is_taken(grey, kind):
    frames = [Image.fromarray(np.zeros_like(grey))] * 2
    options = {"lossless": True} if kind == "WEBP" else {}
    content = file_of(Image.fromarray(grey), kind, save_all=True, append_images=frames, **options)
    picture = open_picture(content)
    np.testing.assert_allclose(picture.pixels.mean(axis=2), grey / 255, atol=0.01)
    assert picture.first_of_several
    assert not open_picture(file_of(Image.fromarray(grey), kind)).first_of_several


def test_what_follows_a_photograph_is_no_page(grey):
    """Cameras add a preview or the depth to their JPEG, which Pillow calls MPO."""
    frames = [Image.fromarray(grey)]
    content = file_of(Image.fromarray(grey), "MPO", save_all=True, append_images=frames)
    assert not open_picture(content).first_of_several


def test_a_large_picture_is_kept_smaller_and_remembers_its_size():
    picture = open_picture(file_of(Image.new("L", (5000, 3000), 200), "PNG"))
    assert picture.size == (5000, 3000)
    assert max(picture.pixels.shape) <= files.LONG_SIDE
    assert picture.scale == pytest.approx(5000 / picture.pixels.shape[1])


@pytest.mark.parametrize("size", [(301, 9000), (9000, 301)])
def test_the_scale_of_a_narrow_picture_is_that_of_its_length(size):
    """301 pixels make 60 blocks of 5, and one pixel is left out."""
    for picture in (open_picture(file_of(Image.new("L", size), "PNG")), picture_of(np.ones(size))):
        assert picture.scale == 5


def test_paths_files_and_arrays(grey, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(grey).save(path)
    wanted = open_picture(path).pixels
    for picture in (open_picture(str(path)), open_picture(path.open("rb")), picture_of(grey)):
        np.testing.assert_allclose(picture.pixels, wanted)
    np.testing.assert_allclose(picture_of(grey / 255).pixels, wanted, atol=1e-6)


def bomb():
    """A PNG of 30,000 x 30,000 pixels in a few bytes: only its head says so."""
    content = bytearray(file_of(Image.new("L", (8, 8)), "PNG"))
    content[16:24] = (30_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def test_limits(monkeypatch):
    with pytest.raises(PictureError, match=r"more than 100,000,000 pixels"):
        open_picture(bomb())
    with pytest.raises(PictureError, match="9,000 x 12,000 pixels, more than 100,000,000"):
        open_picture(file_of(Image.new("1", (9000, 12_000)), "PNG"))
    with pytest.raises(PictureError, match="1 x 1 pixels, too few"):
        open_picture(file_of(Image.new("L", (1, 1)), "PNG"))
    monkeypatch.setattr(files, "MAX_BYTES", 2**20)
    with pytest.raises(PictureError, match="is larger than 1 MiB"):
        open_picture(io.BytesIO(bytes(2**20 + 1)))


def test_a_wide_picture_is_shrunk_in_bands_as_it_is_whole(monkeypatch):
    rng = np.random.default_rng(0)
    for shape in ((4700, 2111), (7, 4321), (4321, 7), (2001, 2003), (90, 80)):
        pixels = rng.integers(0, 60_000, shape, np.uint16)
        found = open_picture(file_of(Image.fromarray(pixels), "PNG")).pixels
        np.testing.assert_allclose(found, picture_of(pixels).pixels, atol=1e-6)


def test_libtiff_says_nothing_itself(grey, capfd):
    whole = file_of(Image.fromarray(grey), "TIFF", compression="tiff_lzw")
    for place in range(8, len(whole)):
        with contextlib.suppress(PictureError):
            open_picture(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    assert capfd.readouterr() == ("", "")
    print("still here", file=sys.stderr)
    assert capfd.readouterr().err == "still here\n"


def test_a_tile_may_not_be_larger_than_any_picture():
    picture = SimpleNamespace(format="TIFF", tag_v2={322: 65_535, 323: 65_535}, width=9, height=9)
    with pytest.raises(ValueError, match="tiles of 536,854,528 bytes are not read"):
        decode(picture)


def test_what_is_no_picture(grey):
    jpeg = file_of(Image.fromarray(grey), "JPEG")
    with pytest.raises(PictureError, match="is empty"):
        open_picture(b"")
    with pytest.raises(PictureError, match="is not a picture, or damaged"):
        open_picture(b"Dear diary, today I renamed a text to picture.png")
    with pytest.raises(PictureError, match=r"is a damaged picture"):
        open_picture(jpeg[: len(jpeg) // 2])


@pytest.mark.parametrize("kind", files.FORMATS)
def test_damaged_files_are_told_and_nothing_else(grey, kind):
    content = file_of(Image.fromarray(grey), kind)
    rng = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(content)
        for place in rng.integers(0, len(broken), 4):
            broken[place] = rng.integers(256)
        with contextlib.suppress(PictureError):  # not every damage is noticed
            open_picture(bytes(broken[: rng.integers(1, len(broken) + 1)]))


@pytest.mark.parametrize(
    ("pixels", "error", "match"),
    [
        (np.zeros((9, 9), complex), TypeError, "booleans, integers or floats"),
        (np.full((9, 9), None), TypeError, "booleans, integers or floats"),
        (np.zeros((9, 9, 5), np.uint8), ValueError, r"must be \(H, W\)"),
        (np.zeros((1, 28, 28), np.uint8), ValueError, r"must be \(H, W\)"),
        (np.full((9, 9), np.inf), ValueError, "finite"),
        (np.full((9, 9), 1e300), ValueError, "finite"),
        (np.broadcast_to(np.uint8(0), (20_000, 20_000)), ValueError, "make it smaller"),
        (np.zeros(9, np.uint8), ValueError, r"must be \(H, W\)"),
        (np.zeros((0, 9), np.uint8), ValueError, r"must be \(H, W\)"),
        (np.full((9, 9), np.nan), ValueError, "finite"),
        (np.zeros((2, 3), np.uint8), ValueError, "too few"),
    ],
)
def test_bad_arrays(pixels, error, match):
    with pytest.raises(error, match=match):
        picture_of(pixels)


READ_ALIKE = {
    "bytes as floats": lambda x: 255.0 * x,
    "bytes as int64": lambda x: np.rint(255 * x).astype(np.int64),
    "bytes, big-endian": lambda x: np.rint(255 * x).astype(">i2"),
    "bytes with an overshoot": lambda x: 255.0 * x + np.where(x > 0.5, 12, -8),
    "uint16": lambda x: np.rint(65535 * x).astype(np.uint16),
    "a mask of bytes": lambda x: (x > 0.5).astype(np.uint8),
    "a mask": lambda x: x > 0.5,
    "float16": lambda x: x.astype(np.float16),
    "floats with an overshoot": lambda x: x + np.where(x > 0.5, 0.05, -0.05),
    "-1 to 1": lambda x: 2 * x - 1,
    "standardised": lambda x: (x - 0.1307) / 0.3081,
    "grey with opacity": lambda x: np.stack([x, np.ones_like(x)], axis=2),
    "bytes, colours and opacity": lambda x: np.rint(
        255 * np.stack([x, x, x, np.ones_like(x)], axis=2)
    ).astype(np.uint8),
    "floats, colours and opacity": lambda x: np.stack([255 * x, 255 * x, 255 * x, x >= 0], axis=2),
    "not contiguous": lambda x: np.asfortranarray(np.repeat(x, 2, axis=1))[:, ::2],
    "read-only": lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),
}


@pytest.mark.parametrize("name", READ_ALIKE)
def test_arrays_of_every_type_and_range_are_the_same_picture(name):
    bar = np.zeros((40, 60))
    bar[5:30, 8:14] = 1.0
    bar[30, 8:14] = 0.4  # the soft end of a stroke
    seen = picture_of(READ_ALIKE[name](bar)).pixels
    assert seen.dtype == np.float32
    wanted = (bar > 0.5) * 1.0 if "mask" in name else bar
    np.testing.assert_allclose(seen.mean(axis=2), wanted, atol=0.06)


def test_dim_pictures_stay_dim():
    """Else the noise of a black photograph becomes strokes."""
    assert picture_of(np.full((20, 20), 0.3)).pixels.max() == pytest.approx(0.3)
    assert picture_of(np.full((20, 20), 12, np.uint8)).pixels.max() == pytest.approx(12 / 255)


def test_the_range_of_a_networks_own_data_is_known():
    assert picture_of(np.full((20, 20), 16, np.uint8), 16.0).pixels.max() == 1
    assert picture_of(np.full((20, 20), 255, np.uint8), 16.0).pixels.max() == 1
    assert picture_of(np.full((20, 20), 1.0), 0.9).pixels.max() == 1


def test_a_large_array_is_made_smaller():
    picture = picture_of(np.ones((30, 2 * files.LONG_SIDE), np.uint8))
    assert picture.pixels.shape == (15, files.LONG_SIDE, 1)
    assert picture.size == (2 * files.LONG_SIDE, 30)


def test_shrink_takes_means_of_blocks():
    pixels = np.arange(7 * 8 * 3, dtype=np.float32).reshape(7, 8, 3)
    wanted = pixels[:6].reshape(3, 2, 4, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(shrink(pixels, 2), wanted)
    assert shrink(pixels[:2], 5).shape == (1, 1, 3)


def test_every_kind_of_nasty_picture_opens():
    glyphs, _ = nasty_pictures.pen_glyphs(1, 0)
    for name, kind in nasty_pictures.KINDS.items():
        pixels = open_picture(kind(np.random.default_rng(0), glyphs[0])).pixels
        assert np.isfinite(pixels).all(), name
        assert np.ptp(pixels) > 0.05, name
        assert 0 <= pixels.min() <= pixels.max() <= 1, name


ADVICE = {
    "a PDF; save the page as PNG": b"%PDF-1.7\n1 0 obj",
    "PostScript; save the page": b"%!PS-Adobe-3.0",
    "an SVG drawing; export it as PNG": b'<?xml version="1.0"?>\n<!-- a --><svg width="9"></svg>',
    "a web page; save the picture": b"<!DOCTYPE html><html><img src='4.png'>",
    "an Office document; save the page": "word/document.xml",
    "an archive; unpack it": "4.png",
    "a video; save a frame": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
    "a camera's raw file; export it as JPEG": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "a video; save a frame as PNG": b"\x1aE\xdf\xa3\x9fB\x86\x81",
    "a Photoshop file; export it": b"8BPS\0\1",
    "a JPEG XL picture; export it": b"\xff\x0a\x00",
    "a NumPy array; load it": b"\x93NUMPY\1\0",
    "compressed with gzip; unpack it": b"\x1f\x8b\x08\0",
    "a file of IDX images; give it to": b"\0\0\x08\x03\0\0'\x10",
}


@pytest.mark.parametrize("words", ADVICE)
def test_other_files_are_named_by_their_content(words):
    content = ADVICE[words]
    if isinstance(content, str):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(content, "4")
        content = file.getvalue()
    with pytest.raises(PictureError, match=f"^is not a picture but {words}"):
        open_picture(content)


def tiff(*tags):
    """The head of a TIFF whose first directory has these tags, and a camera's maker."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, 0) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0NIKON CORPORATION\0"


@pytest.mark.parametrize("tags", [(256, 50706), (271, 330)], ids=["DNG", "NEF"])
def test_raw_files_of_cameras_are_named(tags):
    """Pillow would open the thumbnail that comes first in them."""
    with pytest.raises(PictureError, match="is a camera's raw file; export it as JPEG or PNG"):
        open_picture(tiff(*tags))


@pytest.fixture
def heic(grey):
    pytest.importorskip("pillow_heif").register_heif_opener()
    return file_of(Image.fromarray(np.kron(grey, np.ones((4, 4), np.uint8))), "HEIF")


def test_heic_is_read_with_its_extra(grey, heic):
    picture = open_picture(heic)
    assert picture.size == (240, 160)
    wanted = np.kron(grey, np.ones((4, 4))) / 255
    np.testing.assert_allclose(picture.pixels.mean(axis=2), wanted, atol=0.15)


def test_damaged_heic_is_told(heic):
    rng = np.random.default_rng(0)
    with pytest.raises(PictureError, match="damaged"):
        open_picture(heic[: len(heic) // 2])
    for _ in range(20):
        broken = bytearray(heic)
        for place in rng.integers(0, len(broken), 4):
            broken[place] = rng.integers(256)
        with contextlib.suppress(PictureError):
            open_picture(bytes(broken))


def test_heic_without_its_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    with pytest.raises(
        PictureError, match=r'HEIC photograph; to read it, pip install -e "\.\[heic\]"'
    ):
        open_picture(head)


def test_avif_is_read_or_says_what_reads_it(grey, monkeypatch):
    if features.check("avif"):
        picture = open_picture(file_of(Image.fromarray(grey), "AVIF"))
        np.testing.assert_allclose(picture.pixels.mean(axis=2), grey / 255, atol=0.15)
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(PictureError, match=r"an AVIF picture; Pillow 11\.3 can read it"):
        open_picture(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf")


def test_a_tiny_file_of_webp_declares_no_more_than_its_decoder_may_take():
    """Of 9,000 x 9,000 pixels: libwebp would take 1.2 GiB."""
    content = bytes.fromhex("524946461a000000574542505650384c0e0000002f27e3c908071011fd0f4444ff03")
    with pytest.raises(PictureError, match="has 9,000 x 9,000 pixels, more than 60,000,000"):
        open_picture(content)


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "LA", "RGBA", "1", "I", "F"])
def test_thirty_five_megapixels_take_bounded_memory(mode, tmp_path):
    """The size of a 600 dpi scan of A4: at most 10 bytes a pixel, and two seconds."""
    path = tmp_path / ("scan.tif" if mode in "IF" else "scan.png")
    compression = {"compression": "tiff_lzw"} if mode in "IF" else {"compress_level": 1}
    Image.new(mode, (4962, 7014)).save(path, **compression)
    code = (
        "import resource, sys, time; from mnistcore.pictures.files import open_picture\n"
        "from PIL import Image; peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before, began = peak(), time.process_time()\n"
        "assert open_picture(sys.argv[1]).size == (4962, 7014)\n"
        "print((peak() - before) * 1024 / (4962 * 7014), time.process_time() - began)"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    bytes_a_pixel, seconds = map(float, done.stdout.split())
    assert bytes_a_pixel < 10
    assert seconds < 4  # twice the aim, for busy machines
