"""The options of the web server."""

from dataclasses import dataclass

from ..training.data_options import DataOptions
from ..training.options import Range, document_options, option

PORT = 7840


@document_options
@dataclass(frozen=True, kw_only=True)
class ServeConfig(DataOptions):
    """The options of the web server, checked. The data is what the page trains on.

    Raises
    ------
    TypeError, ValueError
        If a value has the wrong type or is out of range.
    """

    host: str = option(
        "127.0.0.1",
        str,
        "address to listen on; any other than this machine's own lets others train on it",
        metavar="ADDRESS",
    )
    port: int = option(
        PORT, int, "port to listen on; 0 takes a free one", limits=Range(0, 65535), metavar="N"
    )
    browser: bool = option(True, bool, "open the page in a browser")
