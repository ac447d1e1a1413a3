"""The calls about views."""

from skerry.iceberg.call import Answer, Call, nothing
from skerry.iceberg.router import LISTS, READS, WRITES, Operation
from skerry.iceberg.shapes import Commit, NewView, Registered
from skerry.iceberg.table_calls import (
    allow,
    change_of,
    names,
    rename,
    told,
)
from skerry.tables import Identifier, operations, views

_IN = "/v1/{prefix}/namespaces/{namespace}"
_ONE = f"{_IN}/views/{{view}}"


async def listed(call: Call) -> Answer:
    """List the views of a namespace."""
    return names(call, "view")


async def made(call: Call) -> Answer:
    """Make a view."""
    new = call.said(NewView)
    wanted = views.ViewDefinition(
        identifier=Identifier(call.namespace, new.name), schema=bytes(new.schema),
        version=bytes(new.view_version), properties=new.properties or {}, location=new.location,
    )  # fmt: skip
    return told(
        call, await views.create(call.tables, call.bucket, wanted, allow(call)), has_config=False
    )


async def loaded(call: Call) -> Answer:
    """Tell what a view is now."""
    found = await operations.load(call.tables, call.bucket, call.identifier("view"), "view")
    return told(call, found, has_config=False)


async def exists(call: Call) -> Answer:
    """Tell that a view is there."""
    operations.find(call.tables, call.bucket, call.identifier("view"), "view")
    return nothing()


async def replaced(call: Call) -> Answer:
    """Change a view."""
    change = change_of(call.identifier("view"), call.said(Commit))
    return told(
        call, await views.replace(call.tables, call.bucket, change, allow(call)), has_config=False
    )


async def dropped(call: Call) -> Answer:
    """Drop a view."""
    identifier = call.identifier("view")
    await operations.drop(call.tables, call.bucket, identifier, "view", purges=False)
    return nothing()


async def renamed(call: Call) -> Answer:
    """Give a view another name."""
    return await rename(call, "view")


async def registered(call: Call) -> Answer:
    """Have a view be what a metadata file says."""
    said = call.said(Registered)
    identifier = Identifier(call.namespace, said.name)
    call.check(READS, call.key(said.metadata_location))
    found = await views.register(
        call.tables, call.bucket, identifier, said.metadata_location, allow(call)
    )
    return told(call, found, has_config=False)


OPERATIONS = (
    Operation("GET", f"{_IN}/views", listed, LISTS),
    Operation("POST", f"{_IN}/views", made, WRITES),
    Operation("GET", _ONE, loaded, READS),
    Operation("HEAD", _ONE, exists, READS),
    Operation("POST", _ONE, replaced, WRITES),
    Operation("DELETE", _ONE, dropped, WRITES),
    Operation("POST", f"{_IN}/register-view", registered, WRITES),
    Operation("POST", "/v1/{prefix}/views/rename", renamed, LISTS),
)
