"""The house style, as a test: what linters cannot say about this repository."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PROGRAMS = SOURCES + sorted((ROOT / "bench").rglob("*.py"))
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
BANNED_PACKAGES = {"utils", "util", "helpers", "common", "manager", "misc"}


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_file_is_tidy(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)

    assert ast.get_docstring(tree), "a module says what lives in it"
    assert text.count("\n") <= FILE_LINES_MAX
    assert not re.search(r"\b(FIXME|TODO|XXX)\b", text)
    assert not BANNED_PACKAGES & {part.removesuffix(".py") for part in path.parts}
    for function in functions(tree):
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= FUNCTION_LINES_MAX, f"{function.name} has {lines} lines"


def test_every_package_is_on_the_map() -> None:
    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    packages = {p.parent.name for p in (ROOT / "src" / "skerry").glob("*/__init__.py")}

    assert {name for name in packages if f"`{name}/`" not in architecture} == set()


def test_every_module_on_the_map_exists() -> None:
    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`([a-z_]+/[a-z0-9_/]+\.py)`", architecture))
    places = {name: ROOT if name.startswith("tests/") else ROOT / "src/skerry" for name in named}

    assert {name for name, place in places.items() if not (place / name).exists()} == set()


def test_the_map_fits_on_the_wall() -> None:
    assert (ROOT / "ARCHITECTURE.md").read_text().count("\n") <= 300


def test_every_dependency_has_a_decision() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    block = project[project.index("\ndependencies = [") : project.index("[project.scripts]")]
    names = re.findall(r'^  "([a-z0-9-]+)', block, re.MULTILINE)
    decisions = "\n".join(p.read_text() for p in (ROOT / "docs" / "decisions").glob("*.md"))

    assert names
    assert {name for name in names if f"**{name}**" not in decisions} == set()


def test_only_the_ground_and_the_rim_know_subprocesses_and_sockets() -> None:
    allowed = {"host", "holder", "client", "cli", "api", "doors", "gateway", "s3", "ssh", "testing"}
    imports = re.compile(r"^\s*(import|from) (subprocess|socket|ctypes|fcntl)\b", re.MULTILINE)
    wrong = [
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if imports.search(path.read_text())
        and path.relative_to(ROOT / "src" / "skerry").parts[0] not in allowed
    ]

    assert wrong == []


def test_no_failed_test_waits_for_a_process() -> None:
    wrong = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if "with subprocess.Popen(" in path.read_text() and path != Path(__file__)
    ]

    assert wrong == []
