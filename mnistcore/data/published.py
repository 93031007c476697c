"""Names of classes that data sets publish beside their files, found by what the files hold.

Fashion-MNIST is known by the SHA-256 of its training images. KMNIST is known by the MD5 of its
published, compressed file of training images, which torchvision leaves beside the decompressed one;
without that file, by the name of the folder.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

HASHED_SHAPE = (60_000, 28, 28)  # of the training images of all sets here

FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
# By the SHA-256 of the training images as a raw IDX file.
PUBLISHED: Mapping[str, Mapping[int, str]] = {
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888": dict(enumerate(FASHION)),
}
_KMNIST_GZ_MD5 = "bdb82020997e1d708af4cf47b453dcf7"
_KMNIST_FOLDERS = ("kmnist", "kuzushiji-mnist")
_MAX_GZ_BYTES = 2**25


def names_beside(folder: Path, shape: tuple[int, ...]) -> Mapping[int, str]:
    """Return the names of the classes in a folder of IDX files whose training images have a shape.

    Empty if they are not known from the folder; `PUBLISHED` may know them from the images.
    """
    if shape != HASHED_SHAPE:
        return {}
    named = {part.lower() for part in folder.resolve().parts[-2:]} & set(_KMNIST_FOLDERS)
    if named or _md5(folder / "train-images-idx3-ubyte.gz") == _KMNIST_GZ_MD5:
        return dict(enumerate(KUZUSHIJI))
    return {}


def _md5(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > _MAX_GZ_BYTES:
            return None
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    except OSError:
        return None
