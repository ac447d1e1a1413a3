"""The recipes of this repository can be used, and what is wrong in one is said."""

from pathlib import Path

import pytest

from skerry.base import Invalid, NotFound
from skerry.host.image_recipe import parse_recipe, read_recipe, recipe_directory, recipe_names

IMAGES = recipe_directory()


@pytest.mark.parametrize("name", recipe_names(IMAGES))
def test_every_recipe_leads_down_to_a_suite(name: str) -> None:
    recipe, seen = read_recipe(IMAGES, name), [name]
    while recipe.parent is not None:
        assert recipe.parent not in seen
        seen.append(recipe.parent)
        recipe = read_recipe(IMAGES, recipe.parent)

    assert recipe.suite is not None


def test_base_and_dev_are_there_and_base_makes_the_user_of_boxes() -> None:
    assert recipe_names(IMAGES) == ["base", "dev"]
    assert any("useradd --uid 1000" in step for step in read_recipe(IMAGES, "base").steps)


def test_packages_are_in_no_recipe_twice() -> None:
    base, dev = (read_recipe(IMAGES, name).packages for name in ("base", "dev"))

    assert len(set(base + dev)) == len(base + dev)


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(NotFound, match=r"no recipe called 'wanted'\. There are: base, dev\."):
        read_recipe(IMAGES, "wanted")


def test_a_recipes_name_cannot_lead_out_of_the_directory() -> None:
    with pytest.raises(Invalid, match="no name for an image"):
        read_recipe(IMAGES, "../pyproject")


def test_a_machine_without_recipes_has_none(tmp_path: Path) -> None:
    assert recipe_names(str(tmp_path / "missing")) == []


WRONG = {
    "no TOML": "suite = ",
    "no summary": 'suite = "trixie"',
    "neither suite nor parent": 'summary = "x"',
    "both suite and parent": 'summary = "x"\nsuite = "trixie"\nparent = "base"',
    "an unknown key": 'summary = "x"\nsuite = "trixie"\nsteps_ = []',
    "an option as a package": 'summary = "x"\nsuite = "trixie"\npackages = ["-o=x"]',
    "a comma in a package": 'summary = "x"\nsuite = "trixie"\npackages = ["a,b"]',
    "a suite that is an option": 'summary = "x"\nsuite = "--mode=root"',
    "a parent that climbs": 'summary = "x"\nparent = "../base"',
    "leave_out with a parent": 'summary = "x"\nparent = "base"\nleave_out = ["/usr/*"]',
    "a pattern of two lines": 'summary = "x"\nsuite = "trixie"\nleave_out = ["/a\\nb"]',
    "a NUL in a step": 'summary = "x"\nsuite = "trixie"\nsteps = ["a\\u0000b"]',
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_a_recipe_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_recipe(text, "mine")

    assert caught.value.code in {"bad_recipe", "bad_name"}
