"""How many CPUs the process counts: control-group trees of every layout, affinity, the environment."""

import os

import pytest

from convnet import threads
from convnet.errors import SettingError


@pytest.fixture
def cgroups(tmp_path):
    """A function that writes a fake tree and returns the quota read from it."""

    def quota(membership, files):
        (tmp_path / "self").write_text(membership)
        for name, text in files.items():
            file = tmp_path / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return threads.cgroup_cpus(tmp_path / "cgroup", tmp_path / "self")

    return quota


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200000 100000\n", 2.0),
        ("150000 100000\n", 1.5),
        ("5000 10000\n", 0.5),
        ("max 100000\n", None),
        ("", None),
        ("100000\n", None),
        ("100000 0\n", None),
        ("nonsense 100000\n", None),
    ],
)
def test_version_2(cgroups, text, expected):
    assert cgroups("0::/\n", {"cpu.max": text}) == expected


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [("250000\n", "100000\n", 2.5), ("-1\n", "100000\n", None), ("100000\n", "", None), ("0\n", "100000\n", None)],
)
@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_version_1(cgroups, mount, quota, period, expected):
    files = {f"{mount}/cpu.cfs_quota_us": quota, f"{mount}/cpu.cfs_period_us": period}
    assert cgroups("4:memory:/\n3:cpu,cpuacct:/\n", files) == expected


@pytest.mark.parametrize(("outer", "inner"), [("300000", "800000"), ("800000", "300000"), ("max", "300000")])
def test_the_tightest_ancestor_counts(cgroups, outer, inner):
    files = {
        "cpu.max": "max 100000",
        "pod/cpu.max": f"{outer} 100000",
        "pod/box/cpu.max": f"{inner} 100000",
        "pod/box/leaf/cpu.max": "max 100000",
        "other/cpu.max": "100000 100000",
    }
    assert cgroups("0::/pod/box/leaf\n", files) == 3.0


def test_version_1_ancestors_count(cgroups):
    files = {
        "cpu/pod/cpu.cfs_quota_us": "400000",
        "cpu/pod/cpu.cfs_period_us": "100000",
        "cpu/pod/box/cpu.cfs_quota_us": "-1",
        "cpu/pod/box/cpu.cfs_period_us": "100000",
    }
    assert cgroups("2:cpu:/pod/box\n", files) == 4.0


def test_both_versions_side_by_side(cgroups):
    files = {
        "unified/box/cpu.max": "500000 100000",
        "cpu/box/cpu.cfs_quota_us": "200000",
        "cpu/box/cpu.cfs_period_us": "100000",
    }
    assert cgroups("3:cpu,cpuacct:/box\n0::/box\n", files) == 2.0


def test_a_path_of_the_host_that_the_container_does_not_see(cgroups):
    """Without a control-group namespace the list names the host's path; the container's own group is the root."""
    files = {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}
    assert cgroups("3:cpu:/docker/0123\n", files) == 2.0
    assert cgroups("0::/../../docker/0123\n", {"cpu.max": "100000 100000"}) == 1.0


def test_other_controllers_do_not_count(cgroups):
    files = {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}
    assert cgroups("3:cpuset,cpuacct:/\n2:name=systemd:/\n", files) is None


def test_a_group_name_may_hold_a_colon(cgroups):
    assert cgroups("0::/a:b\n", {"a:b/cpu.max": "200000 100000"}) == 2.0


def test_no_control_groups(tmp_path):
    assert threads.cgroup_cpus(tmp_path / "none", tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"),
    [(8, None, 8), (8, 2.0, 2), (8, 2.1, 3), (2, 64.0, 2), (8, 0.1, 1), (1, None, 1), (9999, None, 4096)],
)
def test_the_smaller_of_affinity_and_quota(monkeypatch, affinity, quota, expected):
    monkeypatch.delenv("CONVNET_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "affinity_cpus", lambda: affinity)
    monkeypatch.setattr(threads, "cgroup_cpus", lambda root, membership: quota)
    assert threads.available_cpus() == expected


@pytest.mark.parametrize(("text", "expected"), [("3", 3), (" 64 ", 64), ("4096", 4096)])
def test_the_environment_decides(monkeypatch, text, expected):
    monkeypatch.setenv("CONVNET_NUM_THREADS", text)
    assert threads.available_cpus() == expected


def test_an_empty_variable_is_no_variable(monkeypatch):
    monkeypatch.setenv("CONVNET_NUM_THREADS", "")
    assert 1 <= threads.available_cpus() <= threads.affinity_cpus()


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", " ", "²", "4097", "9" * 5000])
def test_a_variable_that_is_no_number_of_threads(monkeypatch, text):
    monkeypatch.setenv("CONVNET_NUM_THREADS", text)
    with pytest.raises(SettingError) as error:
        threads.available_cpus()
    assert str(error.value) == f"CONVNET_NUM_THREADS: expected an integer from 1 to 4096, got {text!r}"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_is_respected():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert threads.affinity_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("count", "expected"), [(6, 6), (None, 1)])
def test_systems_without_affinity(monkeypatch, count, expected):
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert threads.affinity_cpus() == expected
