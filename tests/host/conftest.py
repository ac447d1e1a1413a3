"""What tests of the host share."""

import ctypes
import os
from collections.abc import Iterator

import pytest

_CLONE_NEWNET = 0x40000000


@pytest.fixture
def own_network() -> Iterator[int]:
    """Put the test, and what it starts, into a network namespace of its own: an empty machine.

    The value is a descriptor of it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        assert libc.unshare(_CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            yield namespace
        finally:
            os.close(namespace)
            assert libc.setns(before, _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(before)
