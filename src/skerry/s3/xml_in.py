"""Documents that clients send, read without what XML may do harm with."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from skerry.base import Invalid

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

BYTES_MAX = 2 << 20
_DEPTH_MAX = 12


def parsed(data: bytes, root: str) -> Element:
    """Return the document, whose root has that name, with all namespaces taken off.

    Raises Invalid(bad_xml).
    """
    try:
        found: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise bad_xml(f"The document is no XML: {error}.") from None
    _strip(found, 0)
    if found.tag != root:
        raise bad_xml(f"The document's root is {root}.")
    return found


def text_of(parent: Element, name: str, default: str = "") -> str:
    """Return the text of a child, the default where there is none."""
    found = parent.find(name)
    return default if found is None or found.text is None else found.text


def bad_xml(message: str) -> Invalid:
    """Return the error of a document that is not as it should be."""
    return Invalid("bad_xml", message)


def _strip(element: Element, depth: int) -> None:
    if depth > _DEPTH_MAX:
        raise bad_xml("The document is nested too deeply.")
    element.tag = element.tag.rpartition("}")[2]
    for child in element:
        _strip(child, depth + 1)
