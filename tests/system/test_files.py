"""Files are replaced whole or not at all, and errors name them."""

import errno
import io
import os
import subprocess
import sys

import pytest

from mnistcore.system import files
from mnistcore.system.errors import error_words
from mnistcore.system.files import append_line, check_folder, check_target, replacing

ADVICE = "cannot be written (No space left on device); free some space, or write elsewhere"


class FullDisk(io.FileIO):
    """A file on a disk that takes five more bytes."""

    def write(self, data):
        if self.tell() >= 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(bytes(data)[:5])


@pytest.fixture
def full(monkeypatch):
    from pathlib import Path

    monkeypatch.setattr(Path, "open", lambda path, mode, buffering=-1: FullDisk(path, mode))


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path, full, size):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space") as caught, replacing(path) as file:
        file.write(b"x" * size)
    assert error_words(caught.value) == f"{path}: {ADVICE}"
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == ["model"]
    assert path.read_bytes() == b"old"


def test_a_line_is_appended_whole_or_not_at_all(tmp_path, full):
    path = tmp_path / "lines"
    append_line(path, "one")
    with pytest.raises(OSError, match="No space") as caught:
        append_line(path, "second")
    assert error_words(caught.value) == f"{path}: {ADVICE}"
    assert path.read_bytes() == b"one\n"


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "copy"):
        (tmp_path / "missing").read_bytes()
    assert error_words(caught.value) == f"{tmp_path / 'missing'}: No such file or directory"
    assert not os.listdir(tmp_path)


def test_a_temporary_file_is_not_named(tmp_path):
    path = tmp_path / "file" / "name"
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught, replacing(path):
        pass
    assert error_words(caught.value) == f"{path}: cannot be written (Not a directory)"
    target = tmp_path / "taken"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory") as caught, replacing(target):
        pass
    assert error_words(caught.value) == f"{target}: cannot be written (Is a directory)"
    with pytest.raises(ValueError, match="is a folder"):
        check_target(target)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links and pipes of POSIX")
def test_links_and_pipes_stay(tmp_path):
    real, link, pipe = tmp_path / "real", tmp_path / "link", tmp_path / "pipe"
    real.write_bytes(b"old")
    link.symlink_to("real")
    check_target(link)
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    os.mkfifo(pipe)
    check_target(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with replacing(pipe) as file:
        file.write(b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()
    assert sorted(tmp_path.iterdir()) == [link, pipe, real]


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="a name for standard output")
@pytest.mark.parametrize("to", ["file", "pipe"])
def test_what_is_written_to_standard_output_stands_among_what_is_printed(tmp_path, to):
    code = (
        "from pathlib import Path\n"
        "from mnistcore.system.files import check_target, replacing\n"
        "print('before')\n"
        "check_target(Path('/dev/stdout'))\n"
        "with replacing(Path('/dev/stdout')) as file:\n"
        "    file.write(b'between\\n')\n"
        "print('after')\n"
    )
    with open(tmp_path / "out", "w") as file:
        where = file if to == "file" else subprocess.PIPE
        done = subprocess.run([sys.executable, "-c", code], stdout=where, check=True, text=True)
    said = done.stdout if to == "pipe" else (tmp_path / "out").read_text()
    assert said == "before\nbetween\nafter\n"


def test_only_regular_files_of_bounded_size_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_MOST", 5)
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert files.read_bounded(path) == b"12345"
    path.write_bytes(b"123456")
    with pytest.raises(ValueError, match="x: is larger than 5 bytes"):
        files.read_bounded(path)
    for path, error in ((tmp_path, IsADirectoryError), (tmp_path / "y", FileNotFoundError)):
        with pytest.raises(error):
            files.read_bounded(path)
    os.mkfifo(tmp_path / "pipe")  # nobody writes into it
    with pytest.raises(ValueError, match="pipe: is not a regular file"):
        files.read_bounded(tmp_path / "pipe")


def test_no_process_takes_a_file_for_a_leftover_before_it_has_its_name(tmp_path, monkeypatch):
    replace = os.replace

    def after_another_looked(source, target):
        files.remove_leftovers(tmp_path)
        replace(source, target)

    monkeypatch.setattr(os, "replace", after_another_looked)
    with replacing(tmp_path / "a") as file:
        file.write(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_what_cannot_be_a_name_is_no_folder(tmp_path, name):
    with pytest.raises(ValueError, match=r"a\\.*b': is no name of a folder"):
        check_folder(tmp_path / name)
