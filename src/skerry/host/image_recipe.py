"""Recipes: the small TOML files that say what an image is built from. Reads them, builds nothing.

A recipe begins from a Debian suite or from a parent image, never both. It lists packages, files of
packages to leave out, and steps: pieces of shell that root runs in the new tree, each a line or
several. What stands in a recipe runs as root of the host's kernel, so only the host's owner writes
recipes; what others make is imported, or built inside a box.
"""

import os
import tomllib
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from skerry.base import Invalid, NotFound, image_name

_SUFFIX = ".toml"

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PLACES = (
    os.path.join(_PACKAGE, "images"),  # an installed package
    os.path.normpath(os.path.join(_PACKAGE, "../../images")),  # a checkout
)

Package = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9+.-]*$", max_length=128)]
Suite = Annotated[str, Meta(pattern=r"^[a-z]+$", max_length=32)]
# What dpkg's path-exclude understands, without the line breaks that would end its option.
Pattern = Annotated[str, Meta(pattern=r"^/[\x21-\x7e]*$", max_length=256)]


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one image is made of. Exactly one of suite and parent is given.

    leave_out and keep are dpkg's patterns of paths; of two that match, the later list wins (keep).
    """

    summary: Annotated[str, Meta(min_length=1, max_length=200)]
    suite: Suite | None = None
    parent: str | None = None
    packages: tuple[Package, ...] = ()
    leave_out: tuple[Pattern, ...] = ()
    keep: tuple[Pattern, ...] = ()
    steps: tuple[str, ...] = ()


def recipe_directory() -> str:
    """Return the directory of the recipes that come with this program."""
    return next((place for place in _PLACES if os.path.isdir(place)), _PLACES[-1])


def read_recipe(directory: str, name: str) -> Recipe:
    """Return the recipe that directory keeps under name.

    Raises NotFound(no_such_recipe), Invalid(bad_name, bad_recipe).
    """
    path = os.path.join(directory, image_name(name) + _SUFFIX)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        there = ", ".join(recipe_names(directory)) or "none"
        raise NotFound(
            "no_such_recipe", f"There is no recipe called {name!r}. There are: {there}."
        ) from None
    return parse_recipe(text, name)


def recipe_names(directory: str) -> Sequence[str]:
    """Return the names of the recipes in directory, in order; none where it does not exist."""
    try:
        files = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(file.removesuffix(_SUFFIX) for file in files if file.endswith(_SUFFIX))


def parse_recipe(text: str, name: str) -> Recipe:
    """Return the recipe that text spells out; name is for messages.

    Raises Invalid(bad_recipe, bad_name).
    """
    try:
        recipe = msgspec.convert(tomllib.loads(text), Recipe)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Invalid("bad_recipe", f"The recipe {name!r} cannot be used: {error}.") from error
    if (recipe.suite is None) == (recipe.parent is None):
        raise Invalid(
            "bad_recipe",
            f"The recipe {name!r} must name either a suite or a parent, and not both.",
        )
    if recipe.parent is not None:
        image_name(recipe.parent)
        if recipe.leave_out or recipe.keep:
            raise Invalid(
                "bad_recipe",
                f"The recipe {name!r} has a parent, whose leave_out and keep hold for it. "
                "Say there what to leave out.",
            )
    if any("\0" in step for step in recipe.steps):
        raise Invalid("bad_recipe", f"A step of the recipe {name!r} holds a NUL character.")
    return recipe
