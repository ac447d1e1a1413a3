"""All commands: their names, one line about each, and the file that has them."""

from typing import NamedTuple


class Entry(NamedTuple):
    """One command. takes_command: what follows its first argument is a command for a box."""

    name: str
    module: str
    summary: str
    takes_command: bool = False


TABLE = (
    Entry("create", "create", "Make a box and start it"),
    Entry("list", "list", "List boxes"),
    Entry("info", "info", "Tell a box and what it uses now"),
    Entry("update", "update", "Change the limits or labels of a box, or when it sleeps"),
    Entry("why", "why", "Tell what keeps a box awake, or when it will sleep"),
    Entry("hold", "hold", "Keep a box awake for a while"),
    Entry("exec", "exec", "Run a command in a box", takes_command=True),
    Entry("console", "console", "Open a shell in a box"),
    Entry("sessions", "sessions", "List, join or end the sessions of a box"),
    Entry("policy", "policy", "Which names a box may reach"),
    Entry("proxy", "proxy", "Ports of a box as ports of this machine"),
    Entry("publish", "publish", "Ports of a box as ports of the server's machine, for everybody"),
    Entry("url", "url", "The web address of a box, and who may open it"),
    Entry("share", "url", "Make a link that opens a private web address for a while"),
    Entry("service", "service", "Commands that a box keeps running"),
    Entry("logs", "service", "Print the log of a service"),
    Entry("file", "file", "Copy files into a box and out of it, and work on those in it"),
    Entry("checkpoint", "checkpoint", "Keep the disk of a box as it is now, and look back"),
    Entry("restore", "checkpoint", "Put a box back to a checkpoint"),
    Entry("fork", "fork", "Make new boxes from a box or a checkpoint"),
    Entry("start", "start", "Start boxes"),
    Entry("stop", "start", "End all processes of boxes; their disks stay"),
    Entry("destroy", "destroy", "Destroy boxes; undo brings them back for a while"),
    Entry("undo", "destroy", "Bring a destroyed box back"),
    Entry("trash", "destroy", "List destroyed boxes that can be brought back"),
    Entry("image", "image", "Build, import, list, save and delete images"),
    Entry("usage", "usage", "Tell what boxes used"),
    Entry("bill", "bill", "Tell what boxes cost, at your prices or those of others"),
    Entry("budget", "budget", "Cap what boxes and accounts may cost or use"),
    Entry("token", "token", "Create, list and revoke tokens"),
    Entry("key", "key", "SSH keys: who may log in to boxes, and as whom"),
    Entry("mcp", "mcp", "Serve AI agents: boxes as tools of the Model Context Protocol"),
    Entry("s3", "s3", "Serve objects by the S3 protocol, without boxes and without root"),
    Entry("bucket", "bucket", "Buckets, here or at any S3, and what is set for them"),
    Entry("object", "object", "Objects: list, copy, sync, delete, share"),
    Entry("access-key", "access_key", "Keys of an S3, and what they may do"),
    Entry("clean", "clean", "Delete hidden versions and unfinished uploads of a bucket"),
    Entry("remote", "remote", "Name stores elsewhere, for the four above"),
    Entry("up", "up", "Run the daemon in the foreground"),
    Entry("doctor", "doctor", "Tell what this machine has and lacks"),
    Entry("api", "api", "Send one request to the API"),
    Entry("version", "version", "Print the version of this program and of the daemon"),
)

ALIASES = {"ls": "list", "x": "exec"}


def find(name: str) -> Entry | None:
    """Return the command of that name or alias."""
    name = ALIASES.get(name, name)
    return next((entry for entry in TABLE if entry.name == name), None)
