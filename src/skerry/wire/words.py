"""What single values look like, for whoever reads the API's document. Pure data.

A pattern here only tells; the domain checks, and says what is wrong in better words.
"""

from typing import Annotated

from msgspec import Meta

BoxName = Annotated[
    str, Meta(min_length=1, extra_json_schema={"pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"})
]
ImageName = Annotated[
    str,
    Meta(
        min_length=1,
        extra_json_schema={"pattern": "^[a-z0-9]([a-z0-9_-]|[.](?![.])){0,63}(?<![._-])$"},
    ),
]
CheckpointName = Annotated[str, Meta(extra_json_schema={"pattern": "^(v|auto-)[1-9][0-9]{0,8}$"})]
Id = Annotated[str, Meta(extra_json_schema={"pattern": "^[a-z0-9_-]{1,63}$"})]
SignalName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=12,
        extra_json_schema={
            "pattern": "^(SIG)?(INT|TERM|HUP|KILL|QUIT|USR1|USR2|STOP|CONT|TSTP|WINCH)$"
        },
    ),
]
Duration = Annotated[
    str,
    Meta(pattern=r"^(0|([0-9]{1,9}(\.[0-9]{1,9})?(ns|us|ms|s|m|h|d)){1,6})$", description="1m30s"),
]
Path = Annotated[
    str, Meta(min_length=1, max_length=4096, extra_json_schema={"pattern": "^[^\\x00]+$"})
]
# 131,071 bytes are the kernel's own limit for one argument.
Argument = Annotated[str, Meta(max_length=131_071, extra_json_schema={"pattern": "^[^\\x00]*$"})]
Assignment = Annotated[str, Meta(extra_json_schema={"pattern": "^[^=\\x00]+=[^\\x00]*$"})]
