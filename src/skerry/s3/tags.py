"""Tags, of objects and buckets: names with values that programs sort things by. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from skerry.base import Invalid
from skerry.s3.call import NAMESPACE
from skerry.s3.errors import xml_text
from skerry.s3.xml_in import parsed, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OF_OBJECT_MAX = 10
OF_BUCKET_MAX = 50
_KEY_CHARACTERS_MAX, _VALUE_CHARACTERS_MAX = 128, 256
_CHARACTERS = re.compile(r"[\w \t.:/=+@-]*")  # letters of all scripts; AWS allows no others


def tags_in_header(text: str) -> dict[str, str]:
    """Return the tags of an object as a header has them, written like a query. Raises Invalid."""
    pairs = [part.partition("=")[::2] for part in text.split("&") if part]
    return checked_tags(
        [(unquote_plus(name), unquote_plus(value)) for name, value in pairs], OF_OBJECT_MAX
    )


def tags_in_document(body: bytes, most: int) -> dict[str, str]:
    """Return the tags of a document. Raises Invalid(bad_xml, bad_tags)."""
    document = parsed(body, "Tagging")
    pairs = [(text_of(e, "Key"), text_of(e, "Value")) for e in document.iterfind("TagSet/Tag")]
    return checked_tags(pairs, most)


def tags_xml(tags: Mapping[str, str]) -> str:
    """Return a document that tells tags."""
    told = "".join(
        f"<Tag><Key>{xml_text(key)}</Key><Value>{xml_text(value)}</Value></Tag>"
        for key, value in tags.items()
    )
    return f"<Tagging {NAMESPACE}><TagSet>{told}</TagSet></Tagging>"


def checked_tags(pairs: Sequence[tuple[str, str]], most: int) -> dict[str, str]:
    """Return tags if they may be. Raises Invalid(bad_tags)."""
    tags = dict(pairs)
    if len(tags) < len(pairs) or len(tags) > most:
        raise Invalid("bad_tags", f"There are at most {most} tags, no two of one name.")
    for key, value in tags.items():
        if not 1 <= len(key) <= _KEY_CHARACTERS_MAX or len(value) > _VALUE_CHARACTERS_MAX:
            raise Invalid("bad_tags", "A tag's key has 1 to 128 characters, its value up to 256.")
        if _CHARACTERS.fullmatch(key + value) is None or key.lower().startswith("aws:"):
            raise Invalid(
                "bad_tags",
                "A tag is made of letters, digits, spaces and _.:/=+-@, and does not begin with aws:.",
            )
    return tags
