"""Stores elsewhere: any S3, and Backblaze B2, as their client.

Words: a *remote* is a store that has an endpoint and a key, added by a name, told by the
environment, or that of this machine. A *place* is where an object lies on one. A *tree* is a
directory of this machine, an *end* a tree or a prefix of a bucket; a *sync* makes one end like the
other. A *clean* deletes hidden versions and unfinished uploads of a bucket: `clean_plan` says what
goes, a *shelf* is the bucket as a clean sees it. Knows nothing of our own store but its protocol.

Nothing is imported here: botocore and b2sdk are extras, and each command needs a few of these.
"""
