"""Dependencies point down; the contracts are in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]


def test_dependencies_point_down() -> None:
    assert lint_imports() == EXIT_STATUS_SUCCESS


def test_the_holder_starts_with_little() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); import skerry.holder.zygote;"
        "heavy = {'asyncio', 'typing', 'dataclasses', 'msgspec', 'logging', 'inspect'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
