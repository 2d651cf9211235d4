"""A server's copy of one run: found or made there, then brought up to date."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.backends import LocalBackend
from ml_dash.reading.lines import Segment
from ml_dash.run_folder import first_id
from ml_dash.sync.blobs import FileSender
from ml_dash.sync.index import LocalFiles
from ml_dash.sync.listing import local_size, lost_said, lost_there
from ml_dash.sync.origin import key_of
from ml_dash.sync.report import ReplicaReport
from ml_dash.sync.restore import send_rows_again
from ml_dash.sync.segments import RowSender
from ml_dash.sync.writers import live_writers, other_senders, silent_writers

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient


logger = logging.getLogger("ml_dash")


class Progress(NamedTuple):
    """How far a pass has come.

    Attributes:
        rows: bytes of rows sent.
        pending: bytes of rows to be sent.
        files: files sent.
        file_bytes: bytes of files that have gone out.
        files_left: files that are known to be still to be sent.
        file_bytes_left: bytes of those that have not gone out.
    """

    rows: int
    pending: int
    files: int
    file_bytes: int = 0
    files_left: int = 0
    file_bytes_left: int = 0


class Replica:
    """The copy of the run in `folder` that a server keeps. For one thread at a time.

    Args:
        folder: the run.
        client: the server.
        prefix: the run's key; by default where it was downloaded from, else what it was
            recorded as.
        verify: hold what the server has already against its checksums, too.
        look: where it may not be written, see at least how far the server's copy has come.

    Attributes:
        client: as given.
        connected: whether the server has the run, as far as is known.
    """

    def __init__(
        self,
        folder: Path,
        client: RemoteClient,
        prefix: str | None = None,
        *,
        verify: bool = False,
        look: bool = False,
    ) -> None:
        self.backend = LocalBackend(folder)
        self._verify = verify
        self._look = look
        self.connected = False
        self.client = client
        self._prefix = prefix
        self._rows: RowSender | None = None
        self._files: FileSender | None = None
        self._local = LocalFiles(self.backend)
        self._live: set[str] | None = None
        self._there: dict[str, Any] = {}
        self._lost: list[str] | None = None
        self._restored = 0

    @property
    def taken(self) -> tuple[int, int, bool]:
        """How far it has come: bytes of rows and of files that the server took, and connected."""
        rows = self._rows.bytes if self._rows is not None else 0
        return rows, self._files.taken if self._files is not None else 0, self.connected

    def connect(self) -> None:
        """Find the run on the server, or make it there, and ask what it has.

        Raises:
            RemoteError: that cannot be done now.
            ForbiddenError: its namespace refuses it.
        """
        run = self._found()
        rows = RowSender(self.backend, self.client, str(run["id"]), silent_writers(self.backend))
        rows.fetch_ends(verify=self._verify)
        self._rows, self._there = rows, run
        if joins_another(self.backend, run):
            told = (
                f"the server's run {run['prefix']!r} was begun elsewhere. What is in"
                f" {self.backend.folder} joins it, and of files of one path the later one counts;"
                " if it is another run, record it under another prefix"
            )
            logger.warning("ml-dash: %s", told)
        self._files = FileSender(self.backend, self.client, str(run["id"]))
        self.connected = True

    def _found(self) -> dict[str, Any]:
        """The run on the server; made there, unless it may only be looked at."""
        from ml_dash.remote import ForbiddenError, NotFoundError
        from ml_dash.remote.runs import run_in

        prefix = self._prefix or key_of(self.backend.folder)
        about = {"prefix": prefix, "id": first_id(self.backend) or "", "create": True}
        try:
            return run_in(self.client, self.client.json("POST", "/runs", json=about))
        except ForbiddenError as error:
            if not self._look:
                raise
            try:
                about["create"] = False
                return run_in(self.client, self.client.json("POST", "/runs", json=about))
            except (ForbiddenError, NotFoundError):
                raise error from None

    def advance(
        self,
        progress: Callable[[Progress], None] | None = None,
        due: Callable[[], bool] | None = None,
    ) -> bool:
        """Send all rows and files that are there now; whether there was anything.

        Args:
            progress: called again and again with how far it has come.
            due: asked now and then while files are on their way: whether rows are to go on.

        Raises:
            RemoteError: the server does not take it now. Call again: what it has is known.
        """
        if not self.connected:
            self.connect()
        rows, files = self._rows, self._files
        assert rows is not None and files is not None
        self._live = None

        def tell(_: int) -> None:
            if progress is not None:
                found, left = files.unsent()
                out = min(left, self._underway())
                far = (files.files, files.taken + out, found, left - out)
                progress(Progress(rows.bytes, rows.pending(), *far))

        moved = rows.send(self._gone, tell)
        moved = files.send(self._beside(rows, tell, due)) or moved
        if self._verify and self._lost is None:
            # At the end: of a very large run it may take the server too long
            self._lost = self._restore()
        return moved

    def _underway(self) -> int:
        found: int = getattr(self.client, "underway", 0)
        return found

    def _beside(
        self, rows: RowSender, tell: Callable[[int], None], due: Callable[[], bool] | None
    ) -> Callable[[int], None]:
        """What is done now and then while files are on their way: rows do not wait for them."""
        from ml_dash.remote import RemoteError

        working = due is not None

        def look(sent: int) -> None:
            nonlocal working
            if working and due is not None and due():
                self._live = None  # a writer may have come since the pass began
                try:
                    rows.send(self._gone, tell)
                except (RemoteError, OSError):
                    working = False  # the next pass meets it again, and says so
            tell(sent)

        return look

    def _restore(self) -> list[str]:
        """Send again what the server's store has lost; in words, what it still has not."""
        from ml_dash.remote import ForbiddenError

        rows, files = self._rows, self._files
        assert rows is not None and files is not None
        path = f"/runs/{self._there['id']}"
        lost = lost_there(self.client, path)
        while lost.chunks or lost.contents:
            before, sent = lost, rows.bytes + files.bytes
            try:
                lines, size = send_rows_again(self.client, path, self.backend, lost.chunks)
                rows.rows, rows.bytes = rows.rows + lines, rows.bytes + size
                files.send_again(lost.contents)
            except ForbiddenError:
                break  # it may only be looked at
            lost = lost_there(self.client, path)
            self._restored += max(0, before.count - lost.count)
            if lost == before or rows.bytes + files.bytes == sent:
                break  # the folder has not what is left
        return lost_said(lost, str(self._there["prefix"]), self.backend.folder)

    def report(
        self,
        error: str | None = None,
        *,
        settled: bool = False,
        own: bool = False,
        begun: Mapping[str, int] | None = None,
    ) -> ReplicaReport:
        """How things stand. Looks at the folder, never at the network.

        Args:
            error: what keeps the rest from being sent.
            settled: also tell which files could not be sent, which reads the index.
            own: leave out rows that other processes, which live, write and send themselves.
            begun: leave out rows that came since segments were as long as that.
        """
        rows, files = self._rows, self._files
        if rows is None or files is None:
            return self._unasked(error, own=own)
        problems = [*rows.stuck.values(), *(self._lost or ())]
        if settled:
            problems += files.problems()
        found = [files.unsent()] if settled else [files.unsent(), files.waiting()]
        if not files.asked:
            but = other_senders(self.backend) if own else ()
            found = [self._local.count(but, exact=settled or own)]
        return ReplicaReport(
            rows=rows.rows,
            bytes=rows.bytes,
            files=files.files,
            file_bytes=files.bytes,
            pending=self._pending(rows, begun, own=own),
            pending_files=sum(count for count, _ in found),
            pending_file_bytes=sum(size for _, size in found),
            underway=self._underway(),
            unasked=not settled and files.unread(),
            problems=tuple(problems),
            error=error,
            files_known=files.asked or not self._look,
            restored=self._restored,
        )

    def _unasked(self, error: str | None, *, own: bool) -> ReplicaReport:
        """What there is, where the server has not said what of that it has."""
        but = other_senders(self.backend) if own else ()
        count, size = self._local.count(but, exact=own or self._look)
        # A run that this process records is new there as a rule; any other may be there whole.
        return ReplicaReport(
            pending=local_size(self.backend, but),
            pending_files=count,
            pending_file_bytes=size,
            error=error,
            known=not self._look,
            files_known=not self._look,
        )

    def _pending(self, rows: RowSender, begun: Mapping[str, int] | None, *, own: bool) -> int:
        found = rows.pending(begun=begun)
        return rows.pending(other_senders(self.backend)) if found and own else found

    def _gone(self, path: str) -> bool:
        """Whether the writer of a segment is gone, as of this pass."""
        if self._live is None:
            self._live = live_writers(self.backend)
        return Segment(path, 0).writer not in self._live


def joins_another(backend: LocalBackend, run: dict[str, Any]) -> bool:
    """Whether a folder and the server's run of its prefix were begun apart from each other."""
    there, here = run.get("client_id"), first_id(backend)
    return bool(there and here and there != here)
