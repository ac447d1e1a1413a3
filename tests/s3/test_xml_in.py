"""Documents: namespaces are taken off, and a small one makes no tree that is huge."""

import pytest

from skerry.base import Invalid
from skerry.s3.xml_in import parsed, text_of


@pytest.mark.parametrize(
    "document",
    [
        b"<Delete>" + b"<a/>" * 100_000 + b"</Delete>",
        b"<Delete>" * 14 + b"</Delete>" * 14,
        b"<Delete>" * 200_000,
        b"<Delete " + b" ".join(b'a%d="x"' % each for each in range(17)) + b"/>",
        b'<!DOCTYPE x [<!ENTITY y "z">]><Delete>&y;</Delete>',
        b"<Delete></Other>",
        b"<Delete/><Delete/>",
        b"",
    ],
)
def test_a_document_that_could_do_harm_is_none(document: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        parsed(document, "Delete")
    assert caught.value.code == "bad_xml"


def test_as_many_parts_as_an_upload_has_are_taken() -> None:
    part = b"<Part><PartNumber>1</PartNumber><ETag>e</ETag><ChecksumCRC32>c</ChecksumCRC32></Part>"
    document = b'<Made xmlns="urn:any">' + part * 10_000 + b"</Made>"
    found = parsed(document, "Made")
    assert (len(found), text_of(found, "Part/ETag")) == (10_000, "e")
