"""What the compiled code runs on: threads, memory, instruction set."""

from convnet.kernels import runtime as kernels


def set_num_threads(n: int) -> None:
    """Use ``n`` threads, the calling one included; results do not depend on it, not even in the last bit.

    Raises
    ------
    SettingError
        If n is not an integer of at least 1.
    """
    kernels.set_num_threads(n)


def get_num_threads() -> int:
    """Return how many threads a call may use.

    At first as many as this process may use CPUs (affinity and container quota), or ``CONVNET_NUM_THREADS``.
    """
    return kernels.get_num_threads()


def memory_stats() -> dict[str, int]:
    """Return figures of the cache of activation memory, in bytes.

    Returns
    -------
    dict
        ``in_use`` now and ``peak_in_use``; ``cached`` for reuse and its ``limit``; blocks served from the cache
        (``hits``) and from the system (``misses``).
    """
    return kernels.memory_stats()


def empty_cache() -> None:
    """Give all cached, unused activation memory back to the system."""
    kernels.empty_cache()


def cpu_features() -> dict[str, object]:
    """Return the instruction set in use and those this CPU and this build offer.

    Returns
    -------
    dict
        ``kernels``: "baseline", "neon", "avx2" or "avx512" (``CONVNET_CPU`` forces one); ``available``: list of them.
    """
    return {"kernels": kernels.isa_name(), "available": kernels.supported_isas()}
