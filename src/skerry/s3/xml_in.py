"""Documents that clients send, read without what XML may do harm with."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from skerry.base import Invalid

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

BYTES_MAX = 2 << 20
_DEPTH_MAX = 12
_ELEMENTS_MAX = 100_000  # an upload of 10,000 parts has 30,000, with a checksum each 40,000
_ATTRIBUTES_MAX = 16  # of an element; namespaces are none


def parsed(data: bytes, root: str) -> Element:
    """Return the document, whose root has that name, with all namespaces taken off.

    Raises Invalid(bad_xml).
    """
    try:
        parser = DefusedXMLParser(target=_Bounded(), forbid_dtd=True)
        parser.feed(data)
        found: Element = parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise bad_xml(f"The document is no XML: {error}.") from None
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


class _Bounded(TreeBuilder):
    """Builds a tree of bounded size: a small document may otherwise hold a hundred times its size."""

    def __init__(self) -> None:
        super().__init__()
        self._elements = self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        """Begin an element, without its namespace. Raises Invalid(bad_xml)."""
        self._elements += 1
        self._depth += 1
        if self._depth > _DEPTH_MAX + 1:
            raise bad_xml("The document is nested too deeply.")
        if self._elements > _ELEMENTS_MAX or len(attrs) > _ATTRIBUTES_MAX:
            raise bad_xml("The document has too many elements or attributes.")
        return super().start(tag.rpartition("}")[2], attrs)

    def end(self, tag: str, /) -> Element:
        """End an element."""
        self._depth -= 1
        return super().end(tag.rpartition("}")[2])
