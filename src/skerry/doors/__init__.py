"""The daemon's side of the processes beside it: keeps them running, and tells them what they need.

Words: a *door* is a process that lets people in, such as the gateway, that of SSH and that of the
object store; it outlives the daemon.
"""

from skerry.doors.gateway import Place, keep_gateway
from skerry.doors.objects import Shelf, keep_objects
from skerry.doors.ssh import keep_ssh
from skerry.doors.steering import Steering, Terms

__all__ = ["Place", "Shelf", "Steering", "Terms", "keep_gateway", "keep_objects", "keep_ssh"]
