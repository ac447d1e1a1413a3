"""The daemon's side of the processes beside it: keeps them running, and tells them what they need.

Words: a *door* is a process that lets people in, such as the gateway and that of
SSH; it outlives the daemon.
"""

from skerry.doors.gateway import Place, keep_gateway
from skerry.doors.ssh import keep_ssh
from skerry.doors.steering import Steering, Terms

__all__ = ["Place", "Steering", "Terms", "keep_gateway", "keep_ssh"]
