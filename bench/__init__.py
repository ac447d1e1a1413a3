"""Measurements that anyone can rerun: Skerry beside podman, in the same run, on the same machine."""
