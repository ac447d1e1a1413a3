"""Tools about a box's network policy: which names it may reach."""

from typing import Annotated

from msgspec import Meta, Struct

from skerry import wire
from skerry.mcp.tool import Call, OnBox, Tool

_RULES_MAX = 1000
_REFUSALS_TOLD_MAX = 200


class PolicyUpdate(OnBox, kw_only=True):
    """The rules that shall hold."""

    rules: Annotated[
        list[dict[str, str]],
        Meta(
            max_length=_RULES_MAX,
            description='Such as {"domain": "*.github.com", "action": "allow"}, {"domain": "*", '
            '"action": "deny"} and {"include": "defaults"} for what packages are installed from. '
            "An empty list opens the network.",
        ),
    ]


class PolicyTold(Struct, kw_only=True):
    """The rules of a box; without any its network is open."""

    rules: list[dict[str, str]]


class RefusalsTold(Struct):
    """What a box was refused, the oldest first, the last ones of very many."""

    refusals: list[wire.RefusalShape]


async def policy_get(call: Call, asked: OnBox) -> PolicyTold:
    """Tell a policy."""
    return PolicyTold(rules=(await (await call.box(asked)).policy()).rules)


async def policy_update(call: Call, asked: PolicyUpdate) -> PolicyTold:
    """Replace a policy."""
    box = await call.box(asked)
    await box.set_policy(wire.Policy(asked.rules))
    return PolicyTold(rules=(await box.policy()).rules)


async def policy_log(call: Call, asked: OnBox) -> RefusalsTold:
    """Tell what was refused."""
    refusals = await (await call.box(asked)).policy_log()
    return RefusalsTold(refusals[-_REFUSALS_TOLD_MAX:])


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="policy_network_get", title="Look at the network policy", arguments=OnBox,
        answer=PolicyTold, run=policy_get, effect="looks",
        description="Tell which names a box may reach.",
    ),
    Tool(
        name="policy_network_update", title="Replace the network policy", arguments=PolicyUpdate,
        answer=PolicyTold, run=policy_update, effect="changes", repeatable=True,
        description="Replace all rules of which names a box may reach, at once; connections to "
        "names that are denied now are cut. The most exact rule counts, wherever it stands; what no "
        "rule names is denied if any rule allows something. Do not open what the user closed "
        "without asking.",
    ),
    Tool(
        name="policy_network_log", title="See what was refused", arguments=OnBox,
        answer=RefusalsTold, run=policy_log, effect="looks",
        description="Tell what a box was refused by its network policy, and by which rule: look "
        "here when a download fails.",
    ),
)  # fmt: skip
