"""The CPU quota of control groups, as Linux shows them in files."""

import pytest

from mnistcore.kernels import threads
from mnistcore.system.quota import cpu_quota

V2 = "30 1 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 1 0:27 {top} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 1 0:28 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
)
DOCKER = "/docker/0123"
CASES = {
    "no files": ({}, None),
    "version 2, in a container": ({"cpu.max": "150000 100000"}, 1.5),
    "version 2, no limit": ({"cpu.max": "max 100000"}, None),
    "version 2, own group": ({"a/b c/cpu.max": "50000 100000", "a/cpu.max": "max 100000"}, 0.5),
    "version 2, outer group": ({"a/b c/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2.0),
    "version 2, the lowest": ({"a/b c/cpu.max": "3 1", "a/cpu.max": "2 1", "cpu.max": "4 1"}, 2.0),
    "another group's": ({"x/cpu.max": "100000 100000"}, None),
    "damaged": ({"cpu.max": "nonsense"}, None),
    "empty": ({"cpu.max": ""}, None),
    "no period": ({"cpu.max": "100000 0"}, None),
}


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.parametrize("case", CASES)
def test_version_2(tmp_path, case):
    files, expected = CASES[case]
    write(tmp_path, {f"sys/fs/cgroup/{name}": text + "\n" for name, text in files.items()})
    if files:
        proc = {"proc/self/cgroup": "0::/a/b c\n", "proc/self/mountinfo": V2}
        write(tmp_path, proc)
    assert cpu_quota(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("250000", 2.5), ("-1", None)])
@pytest.mark.parametrize(
    ("top", "folder"), [("/", DOCKER), (DOCKER, ""), ("/elsewhere", ""), ("/", "/docker")]
)
def test_version_1(tmp_path, top, folder, quota, expected):
    """Mounted whole, or only the container's own group, or with a path that is the host's."""
    place = f"sys/fs/cgroup/cpu,cpuacct{folder}/"
    files = {place + "cpu.cfs_quota_us": quota, place + "cpu.cfs_period_us": "100000"}
    lines = f"5:memory:/other\n4:cpuacct,cpu:{DOCKER}\n0::/\n"
    mounts = V1.format(top=top)
    write(tmp_path, {**files, "proc/self/cgroup": lines, "proc/self/mountinfo": mounts})
    assert cpu_quota(tmp_path) == expected


def test_a_path_with_a_space_is_escaped_in_the_list_of_mounts(tmp_path):
    mounts = "30 1 0:26 / /mnt/my\\040groups rw - cgroup2 none rw\n"
    files = {"mnt/my groups/cpu.max": "100000 100000", "proc/self/cgroup": "0::/\n"}
    write(tmp_path, {**files, "proc/self/mountinfo": mounts})
    assert cpu_quota(tmp_path) == 1.0


def test_mounts_with_any_ends_of_lines_in_their_paths(tmp_path):
    odd = "31 1 0:27 / /mnt/a\fb\x85c\u2028d rw - tmpfs none rw\n32 1 0:28 / /e rw\n"
    mounts = odd + "30 1 0:26 / /mnt rw - cgroup2 none rw\n"
    files = {"mnt/cpu.max": "100000 100000", "proc/self/cgroup": "0::/\n"}
    write(tmp_path, {**files, "proc/self/mountinfo": mounts})
    assert cpu_quota(tmp_path) == 1.0


@pytest.fixture(autouse=True)
def no_limits(monkeypatch):
    """Neither a cap nor a limit of what ran before."""
    monkeypatch.setattr(threads, "_cap", 0)
    monkeypatch.setattr(threads._caller, "limits", [])


@pytest.mark.parametrize(("quota", "count"), [(0.2, 1), (1.0, 1), (1.5, 2), (99.0, 8), (None, 8)])
def test_a_quota_limits_the_default_number_of_threads(monkeypatch, quota, count):
    monkeypatch.setattr(threads, "cpu_quota", lambda: quota)
    monkeypatch.setattr(threads.cores, "allowed_cores", lambda: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads.available_cores() == threads.get_num_threads() == count
    with threads.limited_threads(4):
        assert threads.get_num_threads() == 4
    threads.set_num_threads(6)
    assert threads.get_num_threads() == 6


@pytest.mark.parametrize(
    ("value", "count"),
    [("3", 3), ("5,2", 5), ("16", 16), ("0", 8), ("", 8), ("many", 8), (" 2 ", 2)],
)
def test_the_variable_of_openmp_is_the_default(monkeypatch, value, count):
    monkeypatch.setattr(threads, "cpu_quota", lambda: None)
    monkeypatch.setattr(threads.cores, "allowed_cores", lambda: set(range(8)))
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads.get_num_threads() == count
    with threads.limited_threads(4):
        assert threads.get_num_threads() == 4
    with threads.limited_threads(12):
        assert threads.get_num_threads() == 8
    threads.set_num_threads(7)
    assert threads.get_num_threads() == 7
