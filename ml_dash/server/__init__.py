"""The server: an HTTP API over accounts, runs, their segments and files, and pages to log in.

The database knows what there is and who may see it; the object store holds the bytes. Processes
keep no state of their own, so any number of them may serve one database and one store.
"""

from __future__ import annotations

from importlib.util import find_spec

_NEEDED = ("alembic", "argon2", "fastapi", "jinja2", "obstore", "pyarrow", "sqlalchemy", "uvicorn")

for _name in _NEEDED:
    if find_spec(_name) is None:
        raise ImportError(f'the server needs {_name}: pip install "ml-dash[server]"', name=_name)
