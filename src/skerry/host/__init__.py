"""The only code that touches Linux: disks, containers, network, processes, files, database, clock.

Words: the *pool* is a btrfs filesystem, each box has a *disk* (a subvolume) in it; a *container* is
a box that runs; a *slot* is a small number that a box's address and id range follow from.
"""
