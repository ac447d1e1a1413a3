"""Documents that commands send as they are: read from a file, and refused here if they are none."""

import sys
from typing import Literal
from xml.etree.ElementTree import ParseError

import defusedxml
import defusedxml.ElementTree
import msgspec

from skerry.base import Invalid

_FILE_BYTES_MAX = 1 << 20


def read_document(path: str, form: Literal["json", "xml"]) -> bytes:
    """Return what a file holds, or stdin for `-`.

    Raises OSError, Invalid(bad_document): here, since remotes say it in many ways.
    """
    if path == "-":
        data = sys.stdin.buffer.read(_FILE_BYTES_MAX + 1)
    else:
        with open(path, "rb") as file:
            data = file.read(_FILE_BYTES_MAX + 1)
    if len(data) > _FILE_BYTES_MAX:
        raise Invalid("bad_document", f"{path} has more than {_FILE_BYTES_MAX} bytes.")
    try:
        if form == "json":
            msgspec.json.decode(data)
        else:
            defusedxml.ElementTree.fromstring(data)
    except (msgspec.MsgspecError, ParseError, defusedxml.DefusedXmlException, ValueError) as error:
        raise Invalid("bad_document", f"{path} is no {form.upper()}: {error}.") from None
    return data


def says_nothing(document: bytes) -> bool:
    """Tell whether a document is empty, as those are that cannot be absent. Raises Invalid."""
    if document.lstrip().startswith(b"{"):
        return False
    try:
        return len(defusedxml.ElementTree.fromstring(document)) == 0
    except (ParseError, defusedxml.DefusedXmlException, ValueError):
        raise Invalid("bad_document", "The remote's answer is no document.") from None


def numbers_in(document: bytes, root: str) -> dict[str, int] | None:
    """Return the numbers below an element of that name, None if the document is another."""
    try:
        element = defusedxml.ElementTree.fromstring(document)
    except (ParseError, defusedxml.DefusedXmlException, ValueError):
        return None
    if element.tag.rpartition("}")[2] != root:
        return None
    return {
        each.tag.rpartition("}")[2]: int(each.text)
        for each in element
        if each.text and each.text.isdecimal()
    }
