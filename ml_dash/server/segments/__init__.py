"""Segments as the server keeps them: taken at their end only, stored in chunks, read by range."""
