"""CRCs of what follows each other, against CRCs of the whole."""

import zlib

from awscrt import checksums
from hypothesis import given
from hypothesis import strategies as st

from skerry.objects.combine import combined
from skerry.objects.model import Algorithm

FUNCTIONS = {
    "CRC32": (zlib.crc32, 4), "CRC32C": (checksums.crc32c, 4),
    "CRC64NVME": (checksums.crc64nvme, 8),
}  # fmt: skip
algorithms = st.sampled_from(["CRC32", "CRC32C", "CRC64NVME"])


@given(algorithms, st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_the_crc_of_parts_is_that_of_the_whole(algorithm: Algorithm, parts: list[bytes]) -> None:
    function, size = FUNCTIONS[algorithm]
    each = [(function(part).to_bytes(size, "big"), len(part)) for part in parts]

    whole = function(b"".join(parts)).to_bytes(size, "big")

    assert combined(algorithm, each) == whole
