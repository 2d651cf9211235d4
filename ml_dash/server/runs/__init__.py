"""Runs as the server lists them: found by prefix, and folded from what their segments say."""
