"""The house style, as a test: what linters cannot say about this project."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "bench").rglob("*.py")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
BANNED_NAMES = {"utils", "util", "helpers", "common", "manager", "misc"}


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_is_tidy(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)

    assert ast.get_docstring(tree), "a module says what lives in it"
    assert text.count("\n") <= FILE_LINES_MAX
    assert not BANNED_NAMES & {part.removesuffix(".py") for part in path.parts}
    for each in ast.walk(tree):
        if isinstance(each, ast.FunctionDef):
            assert (each.end_lineno or 0) - each.lineno < FUNCTION_LINES_MAX, each.name


def test_every_package_is_on_the_map() -> None:
    on_map = set(
        re.findall(r"^\| `([a-z]+)/`", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    )
    packages = {each.parent.name for each in (ROOT / "src" / "skerry_train").glob("*/__init__.py")}

    assert on_map == packages


def test_every_dependency_has_a_decision() -> None:
    decisions = ROOT.parents[1] / "docs" / "decisions"
    if not decisions.is_dir():
        pytest.skip("the trainer stands alone here; decisions are in Skerry's repository")
    told = "\n".join(each.read_text() for each in decisions.glob("*.md"))
    wanted = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["hub"],
    ]
    names = {re.split(r"[<>=\[]", each)[0] for each in wanted}

    assert {name for name in names if f"**{name}**" not in told} == set()


def test_only_the_command_line_prints() -> None:
    rest = [each for each in PROGRAMS if "cli" not in each.parts and "bench" not in each.parts]
    calls = (
        (path.name, node.func.id)
        for path in rest
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )

    assert [name for name, called in calls if called == "print"] == []


def test_what_the_readme_names_is_a_command() -> None:
    from skerry_train.cli import COMMANDS

    readme = (ROOT / "README.md").read_text()
    called = set(re.findall(r"^    skerry-train ([a-z-]+)", readme, re.MULTILINE))
    known = {each.__name__.rpartition(".")[2].replace("_", "-") for each in COMMANDS}

    assert called
    assert called <= known
