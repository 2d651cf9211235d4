"""The version of the package, for what it tells others about itself."""

__version__ = "1.0.0a1"
