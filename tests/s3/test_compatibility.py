"""The page of operations says what there is."""

from pathlib import Path

from skerry.s3.compatibility import compatibility

ROOT = Path(__file__).parents[2]


def test_the_page_of_operations_is_made_from_the_router() -> None:
    assert (ROOT / "docs/s3-compatibility.md").read_text() == compatibility()
