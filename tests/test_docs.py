"""What the documents say is so: the references are the program's own words, and commands exist."""

import re
from pathlib import Path

import pytest

from skerry import api, cli, config
from skerry.cli.table import ALIASES, TABLE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
HEADINGS = ["**Context.**", "**Decision.**", "**Alternatives.**", "**We would know it was wrong**"]


def test_the_reference_of_commands_is_what_they_declare() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == cli.reference(), (
        "write it again: python -c 'from skerry import cli; print(cli.reference(), end=\"\")'"
    )


def test_the_reference_of_settings_is_what_the_table_says() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == config.reference(), (
        "write it again: python -c 'from skerry import config; print(config.reference(), end=\"\")'"
    )


def test_what_the_readme_makes_can_be_made() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"\bmake ([a-z-]+)$|`make ([a-z-]+)`", README, re.MULTILINE)

    assert named
    assert {one or other for one, other in named} <= set(targets)


def test_what_the_readme_calls_is_a_command() -> None:
    called = re.findall(r"\./skerry ([a-z][a-z0-9]*)", README)

    assert called
    assert set(called) <= {entry.name for entry in TABLE} | set(ALIASES)


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_what_is_linked_is_there(document: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / document).read_text())

    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_number_and_all_its_parts(path: Path) -> None:
    text = path.read_text()
    parts = re.findall(r"^\*\*[^*]+\*\*", text, re.MULTILINE)

    assert text.startswith(f"# {int(path.name[:4])}. ")
    assert [part for part in parts if part in HEADINGS] == HEADINGS


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_the_api_describes_itself() -> None:
    told = api.document(api.operations())

    assert told["openapi"] == "3.1.0"
    assert "/v1/boxes/{name}/exec" in told["paths"]
