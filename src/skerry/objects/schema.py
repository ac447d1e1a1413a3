"""The tables of the index. What is in them is in `store`, `segments`, `due` and `usage`."""

from skerry.objects import key_store

SCHEMA_NUMBER = 5  # to be counted up with each change of what follows, or of what fills it
_SCHEMA = """
CREATE TABLE place (segment INTEGER NOT NULL, offset INTEGER NOT NULL, serial INTEGER NOT NULL,
  sequence INTEGER NOT NULL, bucket INTEGER NOT NULL);
INSERT INTO place VALUES (1, 0, 0, 0, 0);
CREATE TABLE segments (segment INTEGER PRIMARY KEY, dead_bytes INTEGER NOT NULL);
CREATE TABLE usage (bucket INTEGER PRIMARY KEY, objects INTEGER NOT NULL, bytes INTEGER NOT NULL,
  part_bytes INTEGER NOT NULL);
CREATE TABLE ruled (bucket INTEGER PRIMARY KEY, rules BLOB NOT NULL, from_key BLOB);
CREATE TABLE due (bucket INTEGER NOT NULL, key BLOB NOT NULL, upload_id TEXT NOT NULL,
  at_ns INTEGER NOT NULL, PRIMARY KEY (bucket, key, upload_id)) WITHOUT ROWID;
CREATE INDEX due_at ON due (at_ns);
CREATE TABLE scrubbing (begun_at_ns INTEGER NOT NULL, bucket TEXT NOT NULL, key TEXT NOT NULL,
  version_id TEXT NOT NULL);
INSERT INTO scrubbing VALUES (0, '', '', '');
CREATE TABLE files (file TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE buckets (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, said BLOB NOT NULL);
CREATE TABLE current (bucket INTEGER NOT NULL, key BLOB NOT NULL, is_marker INTEGER NOT NULL,
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, said BLOB NOT NULL, data_size INTEGER NOT NULL,
  PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE TABLE former (bucket INTEGER NOT NULL, key BLOB NOT NULL, rank INTEGER NOT NULL,
  is_null INTEGER NOT NULL,
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, said BLOB NOT NULL, data_size INTEGER NOT NULL,
  PRIMARY KEY (bucket, key, rank)) WITHOUT ROWID;
CREATE UNIQUE INDEX former_null ON former (bucket, key) WHERE is_null;
CREATE TABLE uploads (upload_id TEXT PRIMARY KEY, bucket INTEGER NOT NULL, key BLOB NOT NULL,
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, said BLOB NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX uploads_by_key ON uploads (bucket, key, upload_id);
CREATE TABLE parts (upload_id TEXT NOT NULL, number INTEGER NOT NULL,
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, said BLOB NOT NULL, data_size INTEGER NOT NULL,
  PRIMARY KEY (upload_id, number)) WITHOUT ROWID;
"""
SCHEMA = _SCHEMA + key_store.SCHEMA
