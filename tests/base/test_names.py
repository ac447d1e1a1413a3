"""Names that boxes may and may not have."""

import pytest

from skerry.base import Invalid, box_name


@pytest.mark.parametrize("name", ["a", "a" * 63, "web-1", "web--x", "0", "logins"])
def test_a_box_may_have_a_name_that_is_a_host_name(name: str) -> None:
    assert box_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a" * 64, "-a", "a-", "A", "a_b", "a.b", "a\n", "login", "web--3000", "a--0"]
)
def test_a_name_with_another_meaning_or_none_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        box_name(name)

    assert caught.value.code == "bad_name"
