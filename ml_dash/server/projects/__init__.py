"""Projects: runs of a namespace that belong together."""
