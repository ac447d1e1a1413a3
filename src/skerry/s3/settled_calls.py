"""What holds here anyway: setting it is agreed to, and setting anything else is not.

The owner of a bucket owns all that is in it, and pays for it; nothing makes transfers faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skerry.base import Invalid, NotBuilt
from skerry.s3.call import Call, bucket_of, empty
from skerry.s3.ingest import read_small
from skerry.s3.object_calls import no_acl
from skerry.s3.router import Operation
from skerry.s3.xml_in import bad_xml, parsed, text_of

if TYPE_CHECKING:
    from skerry.s3.connection import Response

_OWNERSHIPS = frozenset({"BucketOwnerPreferred", "ObjectWriter"})


async def put_ownership(call: Call) -> Response:
    """Agree that the bucket's owner owns all."""
    bucket_of(call)
    document = parsed(await read_small(call), "OwnershipControls")
    owned = [text_of(each, "ObjectOwnership") for each in document.findall("Rule")]
    if owned == ["BucketOwnerEnforced"]:
        return empty()
    if len(owned) == 1 and owned[0] in _OWNERSHIPS:
        raise no_acl()
    raise bad_xml("One Rule has the ObjectOwnership BucketOwnerEnforced.")


async def delete_ownership(call: Call) -> Response:
    """Agree that nothing is set: what holds without is the same."""
    bucket_of(call)
    return empty(204)


async def put_payment(call: Call) -> Response:
    """Agree that the bucket's owner pays."""
    bucket_of(call)
    document = parsed(await read_small(call), "RequestPaymentConfiguration")
    match text_of(document, "Payer"):
        case "BucketOwner":
            return empty()
        case "Requester":
            raise NotBuilt("not_implemented", "Nobody is asked to pay here.")
        case _:
            raise bad_xml("Payer is BucketOwner.")


async def put_acceleration(call: Call) -> Response:
    """Agree that nothing is accelerated."""
    bucket_of(call)
    match text_of(parsed(await read_small(call), "AccelerateConfiguration"), "Status"):
        case "Suspended":
            return empty()
        case "Enabled":
            raise Invalid("bad_argument", "There is no faster way to this machine.")
        case _:
            raise bad_xml("Status is Suspended.")


OPERATIONS = (
    Operation(
        name="PutBucketOwnershipControls", method="PUT", on="bucket", handler=put_ownership,
        query={"ownershipControls": ""},
    ),
    Operation(
        name="DeleteBucketOwnershipControls", method="DELETE", on="bucket",
        handler=delete_ownership, query={"ownershipControls": ""},
        action="s3:PutBucketOwnershipControls",
    ),
    Operation(
        name="PutBucketRequestPayment", method="PUT", on="bucket", handler=put_payment,
        query={"requestPayment": ""},
    ),
    Operation(
        name="PutBucketAccelerateConfiguration", method="PUT", on="bucket",
        handler=put_acceleration, query={"accelerate": ""},
        action="s3:PutAccelerateConfiguration",
    ),
)  # fmt: skip
