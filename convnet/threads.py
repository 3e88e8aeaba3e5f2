"""How many CPUs this process may use: affinity, control-group quotas, the environment."""

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path, PurePosixPath

from convnet.errors import SettingError

__all__ = ["MAX_THREADS", "affinity_cpus", "available_cpus", "cgroup_cpus"]

MAX_THREADS = 4096


def available_cpus() -> int:
    """Count the CPUs this process may use; as many threads run a call unless `set_num_threads` says otherwise.

    The environment variable ``CONVNET_NUM_THREADS`` decides if it is set; else it is the smaller of the process's CPU
    affinity and the CPU quota of its control group (containers), rounded up.

    Raises
    ------
    SettingError
        If ``CONVNET_NUM_THREADS`` is not an integer from 1 to `MAX_THREADS`.
    """
    forced = os.environ.get("CONVNET_NUM_THREADS")
    if forced:
        return _threads(forced)
    quota = cgroup_cpus(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    return max(1, min(affinity_cpus(), MAX_THREADS if quota is None else ceil(quota), MAX_THREADS))


def _threads(text: str) -> int:
    digits = text.strip()
    if not (digits.isdecimal() and len(digits) < 10 and 1 <= int(digits) <= MAX_THREADS):  # Python limits int(text)
        raise SettingError(f"CONVNET_NUM_THREADS: expected an integer from 1 to {MAX_THREADS}, got {text!r}")
    return int(digits)


def affinity_cpus() -> int:
    """Count the CPUs the scheduler may put this process on."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13; honours -X cpu_count
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_cpus(root: Path, membership: Path) -> float | None:
    """Read the CPU quota of the control group this process is in.

    A group is also bound by its ancestors, so the tightest quota on the way up to ``root`` counts. Understands
    version 2 (``cpu.max``), version 1 (``cpu.cfs_quota_us``) and both mounted side by side.

    Parameters
    ----------
    root : Path
        Where the control groups are mounted, ``/sys/fs/cgroup``.
    membership : Path
        The list of the process's groups, ``/proc/self/cgroup``.

    Returns
    -------
    float or None
        The quota in CPUs; None if there is no limit, or no control group.
    """
    quotas = [quota for group in _groups(root, membership) for quota in (_v2_quota(group), _v1_quota(group))]
    return min((quota for quota in quotas if quota is not None), default=None)


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    """Yield the directories of the process's groups that may hold a CPU quota, with their ancestors."""
    for line in _read(membership).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            mounts = [root, root / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [root / controllers, root / "cpu"]
        else:
            continue
        group = PurePosixPath("/", path).relative_to("/")
        for mount in mounts:
            yield from (mount / ancestor for ancestor in (group, *group.parents))


def _v2_quota(group: Path) -> float | None:
    quota, _, period = _read(group / "cpu.max").strip().partition(" ")
    return _ratio(quota, period)


def _v1_quota(group: Path) -> float | None:
    return _ratio(_read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip())


def _ratio(quota: str, period: str) -> float | None:
    """Divide; None for "max", "-1", an empty text or anything else that is no limit."""
    if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0:
        return int(quota) / int(period)
    return None


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
