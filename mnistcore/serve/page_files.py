"""The files of the page, read once at the start: no path of a request reaches the file system."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

INDEX = "index.html"
KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
    "txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class PageFile:
    """The content of a file, its media type, and a tag that changes with the content."""

    content: bytes
    kind: str
    tag: str


def read_page() -> Mapping[str, PageFile]:
    """Return the files of the page by name."""
    files = {}
    for entry in (resources.files(__package__) / "page").iterdir():
        kind = KINDS.get(entry.name.rpartition(".")[2])
        if kind is not None and entry.is_file():
            content = entry.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            files[entry.name] = PageFile(content, kind, tag)
    return files
