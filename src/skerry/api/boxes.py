"""Calls about boxes: create, list, find, change, destroy, undo, start, stop, fork."""

from typing import Annotated

from msgspec import Meta, Struct, structs
from starlette.responses import Response

from skerry import boxes, wire
from skerry.api.routing import Call, Operation, answer
from skerry.api.sleeping import sleep_rule, sleep_shape
from skerry.base import rfc3339
from skerry.boxes import Access, BoxChange, BoxView, CreateSpec, PartialLimits, is_disk_full
from skerry.host.seam import BoxUsage

_DEFAULT_PAGE = 50
# btrfs refuses a write whose blocks might not fit: a full disk is a little below its limit.


class Page(Struct, rename={"after": "continuation_token"}):
    """Which boxes to list."""

    prefix: str = ""
    max_results: Annotated[int, Meta(ge=1, le=1000)] = _DEFAULT_PAGE
    after: str = ""
    label: str | None = None


class Destroying(Struct):
    """purge: delete at once and for good, past the trash."""

    purge: bool = False


class Undoing(Struct, rename={"as_name": "as"}):
    """as: the name under which the box comes back."""

    as_name: wire.BoxName | None = None


def box_shape(view: BoxView, usage: BoxUsage | None = None) -> wire.Box:
    """Return a box as the wire has it."""
    box, limits = view.box, view.box.limits
    shape = wire.Box(
        id=box.box_id,
        name=box.name,
        status=view.status,
        image=box.image,
        labels=list(box.labels),
        limits=wire.Limits(limits.cpus, limits.memory_bytes, limits.disk_bytes, limits.processes),
        sleep=sleep_shape(view.sleep),
        address=view.address,
        created_at=rfc3339(box.created_at_ns),
        updated_at=rfc3339(box.updated_at_ns),
        last_running_at=rfc3339(box.last_running_at_ns) if box.last_running_at_ns else None,
        forked_from=box.forked_from,
        url=view.url,
        url_settings=wire.UrlSettings("public" if box.access == "public" else "sprite"),
    )
    if usage is None:
        return shape
    return structs.replace(
        shape,
        usage=wire.Usage(
            cpu_seconds=usage.cpu_ns / 1e9 if usage.cpu_ns is not None else None,
            memory_bytes=usage.memory_bytes,
            disk_bytes=usage.disk_bytes,
            processes=usage.processes,
        ),
        limits_hit=wire.LimitsHit(
            usage.memory_hit, usage.processes_hit, is_disk_full(limits, usage)
        ),
    )


def partial(limits: wire.Limits | None) -> PartialLimits:
    """Return the limits that a body asks for."""
    if limits is None:
        return PartialLimits()
    return PartialLimits(limits.cpus, limits.memory_bytes, limits.disk_bytes, limits.processes)


def _access(settings: wire.UrlSettings | None) -> Access | None:
    if settings is None:
        return None
    return "public" if settings.auth == "public" else "private"


async def create(call: Call) -> Response:
    """Create a box."""
    body = await call.body(wire.CreateBox)
    limits = partial(body.limits)
    if body.limits is None and body.config is not None:
        config = body.config
        limits = PartialLimits(
            cpus=config.cpus,
            memory_bytes=config.ram_mb << 20 if config.ram_mb else None,
            disk_bytes=config.storage_gb << 30 if config.storage_gb else None,
        )
    spec = CreateSpec(
        body.name, body.image, limits, body.labels, body.environment, sleep_rule(body.sleep),
        call.account, _access(body.url_settings) or "private",
    )  # fmt: skip
    return answer(box_shape(await boxes.create(call.boxes, spec)), 201)


async def page(call: Call) -> Response:
    """List boxes in the order of names."""
    asked = call.query(Page)
    views = boxes.page(
        call.boxes, asked.prefix, asked.max_results + 1, asked.after, call.confined_to
    )
    more = len(views) > asked.max_results
    views = views[: asked.max_results]
    token = views[-1].box.name if more else None
    if asked.label is not None:
        views = [view for view in views if asked.label in view.box.labels]
    shapes = [box_shape(view) for view in views]
    counts = boxes.counts(call.boxes, call.confined_to)
    limit = call.boxes.rules.boxes_max
    return answer(
        wire.BoxList(
            boxes=shapes,
            sprites=shapes,
            has_more=more,
            next_continuation_token=token,
            org=wire.Counts(
                running=counts["running"],
                warm=counts["warm"],
                cold=counts["cold"],
                running_limit=limit,
                warm_limit=limit,
            ),
            running=counts["running"],
            warm=counts["warm"],
            cold=counts["cold"],
        )
    )


async def find(call: Call) -> Response:
    """Tell a box, with what it uses now."""
    name = call.path("name")
    view = call.boxes.view(call.boxes.find(name))
    return answer(box_shape(view, await boxes.usage(call.boxes, name)))


async def update(call: Call) -> Response:
    """Change labels, limits or access of a box, or when it sleeps."""
    body = await call.body(wire.UpdateBox)
    labels = () if body.clear_labels else tuple(body.labels) if body.labels is not None else None
    limits = partial(body.limits) if body.limits is not None else None
    sleep = sleep_rule(body.sleep) if body.sleep else None
    change = BoxChange(labels, limits, sleep, _access(body.url_settings))
    view = await boxes.update(call.boxes, call.path("name"), change)
    return answer(box_shape(view))


async def destroy(call: Call) -> Response:
    """Destroy a box; it stays in the trash for a while."""
    asked = call.query(Destroying)  # first: what is not understood destroys nothing
    gone = await boxes.destroy(call.boxes, call.path("name"))
    if asked.purge:
        await boxes.purge(call.boxes, gone.box_id)
    return Response(status_code=204)


async def start(call: Call) -> Response:
    """Start a box."""
    return answer(box_shape(await boxes.start(call.boxes, call.path("name"))))


async def stop(call: Call) -> Response:
    """Stop a box."""
    return answer(box_shape(await boxes.stop(call.boxes, call.path("name"))))


async def check(call: Call) -> Response:
    """Tell whether a box is up, as the Sprites protocol asks for it."""
    view = call.boxes.view(call.boxes.find(call.path("name")))
    healths: dict[str, wire.Health] = {
        "running": "healthy",
        "warm": "healthy",
        "cold": "hibernated",
    }
    return answer(
        wire.BoxCheck(
            sprite_name=view.box.name,
            sprite_id=view.box.box_id,
            status=healths[view.status],
            checked_at=rfc3339(call.boxes.clock.now_ns()),
        )
    )


async def restart(call: Call) -> Response:
    """Stop a box and start it again."""
    name = call.path("name")
    await boxes.stop(call.boxes, name)
    view = await boxes.start(call.boxes, name)
    name = view.box.name
    return answer(
        wire.Restarted(sprite_name=name, machine_id=view.box.box_id, message=f"Restarted {name}")
    )


async def fork(call: Call) -> Response:
    """Make new boxes from a box or a checkpoint of it."""
    body = await call.body(wire.Fork)
    name = boxes.made_up_name(call.boxes) if body.name is None else body.name
    names = [name] if body.count == 1 else [f"{name}-{n}" for n in range(body.count)]
    labels = tuple(body.labels) if body.labels is not None else None
    forks = await boxes.fork(
        call.boxes, call.path("name"), body.checkpoint, names, labels, call.account
    )
    return answer([box_shape(view) for view in forks], 201)


async def trash(call: Call) -> Response:
    """List destroyed boxes that can be brought back."""
    return answer(
        [
            wire.DestroyedBox(
                id=box.box_id,
                name=box.name,
                destroyed_at=rfc3339(box.destroyed_at_ns or 0),
                purge_at=rfc3339(box.purge_at_ns or 0),
            )
            for box in boxes.trash(call.boxes, call.confined_to)
        ]
    )


async def undo(call: Call) -> Response:
    """Bring a destroyed box back."""
    asked = call.query(Undoing)
    gone = boxes.find_in_trash(call.boxes, call.path("which"), call.confined_to)
    return answer(box_shape(await boxes.undo(call.boxes, gone.box_id, asked.as_name)))


async def purge(call: Call) -> Response:
    """Delete a destroyed box for good."""
    gone = boxes.find_in_trash(call.boxes, call.path("which"), call.confined_to)
    await boxes.purge(call.boxes, gone.box_id)
    return Response(status_code=204)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST", path="/boxes", name="create_box", summary="Create a box and start it",
        handler=create, scope="write", body=wire.CreateBox, answer=wire.Box, status=201,
        errors=(404, 409, 429, 503, 507), heeds_account=True,
    ),
    Operation(
        method="GET", path="/boxes", name="list_boxes", summary="List boxes",
        handler=page, scope="read", query=Page, answer=wire.BoxList, heeds_account=True,
    ),
    Operation(
        method="GET", path="/boxes/{name}", name="get_box", summary="Tell a box",
        handler=find, scope="read", answer=wire.Box, errors=(404,),
    ),
    Operation(
        method="PUT", path="/boxes/{name}", name="update_box", summary="Change labels or limits",
        handler=update, scope="write", body=wire.UpdateBox, answer=wire.Box, errors=(404, 409),
    ),
    Operation(
        method="DELETE", path="/boxes/{name}", name="destroy_box",
        summary="Destroy a box; undo brings it back for a while",
        handler=destroy, scope="write", query=Destroying, status=204, errors=(404, 409, 503),
    ),
    Operation(
        method="POST", path="/boxes/{name}/start", name="start_box", summary="Start a box",
        handler=start, scope="write", answer=wire.Box, errors=(404, 409, 503),
    ),
    Operation(
        method="POST", path="/boxes/{name}/stop", name="stop_box", summary="Stop a box",
        handler=stop, scope="write", answer=wire.Box, errors=(404, 409, 503),
    ),
    Operation(
        method="GET", path="/boxes/{name}/check", name="check_box", summary="Tell whether a box is up",
        handler=check, scope="read", answer=wire.BoxCheck, errors=(404,),
    ),
    Operation(
        method="POST", path="/boxes/{name}/restart", name="restart_box",
        summary="Stop a box and start it again",
        handler=restart, scope="write", answer=wire.Restarted, errors=(404, 409, 503),
    ),
    Operation(
        method="POST", path="/boxes/{name}/fork", name="fork_box",
        summary="Make new boxes from a box or a checkpoint of it",
        handler=fork, scope="write", body=wire.Fork, answer=list[wire.Box], status=201,
        errors=(404, 409, 429, 503, 507),
    ),
    Operation(
        method="GET", path="/trash", name="list_trash", summary="List destroyed boxes",
        handler=trash, scope="read", answer=list[wire.DestroyedBox], heeds_account=True,
    ),
    Operation(
        method="POST", path="/trash/{which}/undo", name="undo_destroy",
        summary="Bring a destroyed box back, by id or name",
        handler=undo, scope="write", query=Undoing, answer=wire.Box, errors=(404, 409, 429),
        heeds_account=True,
    ),
    Operation(
        method="DELETE", path="/trash/{which}", name="purge_box",
        summary="Delete a destroyed box for good",
        handler=purge, scope="write", status=204, errors=(404, 503), heeds_account=True,
    ),
)  # fmt: skip
