"""The contents of files: stored once by hash, sent whole or in parts, read by range."""
