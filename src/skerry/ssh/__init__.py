"""The SSH door: a process of its own that lets people in by their keys, and into boxes.

Words: a *guest* is one connection; its *account* is that of the key it came with; a *channel* is
one thing that it asks for over it: a shell, a command, files, a forwarded connection. `BOX@host` is
the box, `skerry@host` the *control plane*, which is the command line, confined.

It speaks to the daemon by the SDK alone, and for each guest with that guest's own rights.
"""
