"""Who makes a call. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skerry.s3.sessions import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who makes a call. access_key: empty for anybody. account: whose buckets it makes.

    user: empty for the root key and for anybody. policies: the user's documents. session: where
    the key is a temporary one, which may do no more than its session says.
    """

    access_key: str = ""
    account: str = ""
    user: str = ""
    is_root: bool = False
    policies: tuple[bytes, ...] = ()
    session: Session | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether it is not known who calls."""
        return not self.access_key

    @property
    def may_everything(self) -> bool:
        """Whether nothing need be asked."""
        return self.is_root and (self.session is None or self.session.policy is None)
