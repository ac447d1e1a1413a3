"""docs/s3-compatibility.md, made from the table of operations."""

from skerry.s3.server import OPERATIONS

_HEAD = """# Operations of S3

Made from the router; a test compares. What is not there answers 501 with its name.

| operation | | a policy allows it by |
|---|---|---|
"""


def compatibility() -> str:
    """Return the page."""
    rows = sorted(
        (each.name, "yes" if each.handler else "no", each.allowed_by if each.handler else "")
        for each in OPERATIONS
    )
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)
