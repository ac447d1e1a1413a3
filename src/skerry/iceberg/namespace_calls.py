"""The calls about namespaces."""

from skerry.base import Invalid
from skerry.iceberg.call import Answer, Call, answer, nothing, page_token
from skerry.iceberg.router import LISTS, WRITES, Operation
from skerry.iceberg.shapes import Names, NamespaceChange, NewNamespace
from skerry.tables import namespaces
from skerry.tables.model import NAMESPACES_MAX, place_of, split

_ALL = "/v1/{prefix}/namespaces"
_ONE = f"{_ALL}/{{namespace}}"


async def listed(call: Call) -> Answer:
    """List the namespaces right in another, or the outermost."""
    after, limit = call.page(NAMESPACES_MAX)
    parent = split(call.query.get("parent", ""))
    found = namespaces.page(call.tables, call.bucket, parent, after, limit + 1)
    token = page_token(found[limit - 1][-1]) if len(found) > limit else None
    return answer(Names(namespaces=found[:limit], next_page_token=token))


async def made(call: Call) -> Answer:
    """Make a namespace."""
    new = call.said(NewNamespace)
    call.check(WRITES, f"{place_of(new.namespace)}/")
    await namespaces.make(call.tables, call.bucket, new.namespace, new.properties or {})
    return answer({"namespace": new.namespace, "properties": new.properties or {}})


async def loaded(call: Call) -> Answer:
    """Tell a namespace's properties."""
    found = namespaces.find(call.tables, call.bucket, call.namespace)
    return answer({"namespace": call.namespace, "properties": found})


async def exists(call: Call) -> Answer:
    """Tell that a namespace is there."""
    namespaces.find(call.tables, call.bucket, call.namespace)
    return nothing()


async def dropped(call: Call) -> Answer:
    """Drop a namespace."""
    await namespaces.drop(call.tables, call.bucket, call.namespace)
    return nothing()


async def changed(call: Call) -> Answer:
    """Set and remove properties of a namespace."""
    change = call.said(NamespaceChange)
    updates, removals = change.updates or {}, change.removals or []
    if updates.keys() & set(removals):
        raise Invalid("property_twice", "A property is either set or removed.")
    missing = await namespaces.change(call.tables, call.bucket, call.namespace, updates, removals)
    removed = sorted(set(removals) - set(missing))
    return answer({"updated": sorted(updates), "removed": removed, "missing": missing})


OPERATIONS = (
    Operation("GET", _ALL, listed, LISTS),
    Operation("POST", _ALL, made, LISTS),
    Operation("GET", _ONE, loaded, LISTS),
    Operation("HEAD", _ONE, exists, LISTS),
    Operation("DELETE", _ONE, dropped, WRITES),
    Operation("POST", f"{_ONE}/properties", changed, WRITES),
)
