"""One folder per district, night, run and asset; a manifest, written last, makes it count.

    <landing>/<district>/<night>/<run>/<asset>/<Table>.parquet
    <landing>/<district>/<night>/<run>/<asset>/landed.json

A folder is written once and never changed, except to erase a student. A run that dies leaves a folder without
a manifest, which is never read, and two runs of one night cannot mix their files. The newest manifest of a
night wins. The manifest holds the SHA-256 of every file, and every file names its district, night, run, asset
and table, so no other file can take its place. Paths contain ids and dates only, never a person's data.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import MAXYEAR, UTC, date, datetime
from glob import has_magic
from hashlib import sha256
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.landing.storage import REACH_IT, LandingError, Storage
from samegoal_pipelines.tables.catalog import landed_types

MANIFEST = "landed.json"
REPORTS = "_reports"
"""The folder of the reports, as `<night>.html`. No district id begins with this character."""
METADATA_KEY = b"samegoal"
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_WRITERS = 4  # tables of an asset that are written in parallel
_DICTIONARY = 2**14  # write columns with more bytes of distinct values without a dictionary
_BAD_JSON = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
_BAD_FILE = (OSError, pa.ArrowException, *_BAD_JSON)
_LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)
_NEW, _PAGE = ".new", ".html"
_TRIES = 5  # how often to look again for files that others are writing or deleting


@dataclass(frozen=True)
class LandedAsset:
    """One asset of one run. If its manifest cannot be read, it has no tables and is `damaged`."""

    district_id: str
    night: date
    run_id: str
    asset: str
    landed_at: datetime
    rows: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    damaged: bool = False

    def identity(self, table: str) -> dict[str, str]:
        """What this table's file says about itself."""
        return {
            "district_id": self.district_id,
            "night": self.night.isoformat(),
            "run_id": self.run_id,
            "asset": self.asset,
            "table": table,
        }


@dataclass(frozen=True)
class Rewritten:
    """What `Landing.rewrite` changed: files, rows that they lost, and unreadable files that were deleted."""

    files: int
    rows: int
    deleted: int


class _File(NamedTuple):
    table: pa.Table
    facts: dict[str, Any]
    sha256: str


class LandedFileError(LandingError):
    """A landed file cannot be used. `fault` says why, as the end of a sentence."""

    kind = Kind.LANDED_ROWS

    def __init__(self, landed: LandedAsset, table: str, fault: str) -> None:
        self.asset, self.table, self.fault = landed.asset, table, fault
        super().__init__(
            f"landed file {table} of {landed.asset} for {landed.district_id} on {landed.night} {fault}"
        )


class Landing(Storage):
    """Reads and writes landed assets under one root: a path or any fsspec URL (`s3://bucket/prefix`).

    Every method raises a `LandingError` if the storage cannot be read or written.
    """

    def write(self, landed: LandedAsset, tables: Mapping[str, pd.DataFrame]) -> None:
        """Land an asset's frames with Arrow dtypes: a Parquet file per table, then the manifest."""
        rows = {name: len(frame) for name, frame in tables.items()}
        folder = self._folder(landed)

        def write_table(name: str) -> str:
            facts = landed.identity(name) | {"landed_at": landed.landed_at.isoformat(), "rows": rows[name]}
            content = _parquet(pa.Table.from_pandas(tables[name], preserve_index=False), facts)
            with self.files.open(f"{folder}/{name}.parquet", "wb") as file:
                file.write(content)
            return sha256(content).hexdigest()

        what = f"{landed.asset} for {landed.district_id} on {landed.night}"
        with self.errors(f"landing of {what} failed: cannot write"):
            self.make_folder(folder)
            # Arrow's writer and the wait for a disk or a bucket let other threads run.
            with ThreadPoolExecutor(_WRITERS, thread_name_prefix="landing") as threads:
                hashes = dict(zip(tables, threads.map(write_table, tables), strict=True))
            with self.files.open(f"{folder}/{MANIFEST}", "wb") as file:
                file.write(_manifest(replace(landed, rows=rows, sha256=hashes)))

    def read(
        self, asset: str, *, district_id: str, night: date, run_id: str | None = None
    ) -> dict[str, pd.DataFrame]:
        """The asset's tables as landed by `run_id`, or else by the last run of that night.

        Of several runs, one with a damaged manifest is passed over: it may have died while writing.
        """
        runs = self.landed(asset, district_id=district_id, night=night)
        found = [one for one in runs if run_id in (None, one.run_id)]
        if not found:
            raise LandingError(
                f"nothing has landed as {asset} for {district_id} on {night}",
                kind=Kind.LANDED_ROWS,
                next_step=f"materialize {asset} in the same run, or first",
            )
        return self.open(found[-1])

    def open(self, landed: LandedAsset, *only: str) -> dict[str, pd.DataFrame]:
        """An asset's tables, or only these: table name → frame with Arrow dtypes.

        Raises `LandedFileError` if a file is missing, damaged, from elsewhere or without a declared column.
        """
        if landed.damaged:
            raise LandedFileError(landed, MANIFEST, f"is damaged (run {landed.run_id})")
        found = {}
        for name in only or landed.rows:
            table = self._open(landed, name).table
            wrong = [
                f"{column} is not {kind}" if column in table.column_names else f"{column} is missing"
                for column, kind in landed_types(landed.asset, name).items()
                if column not in table.column_names or table.schema.field(column).type != kind
            ]
            if wrong:
                raise LandedFileError(landed, name, f"is of another version: {', '.join(wrong)}")
            found[name] = table.to_pandas(types_mapper=pd.ArrowDtype)
        return found

    def landed(self, asset: str, *, district_id: str, night: date) -> list[LandedAsset]:
        """Every run's landing of this asset that night, or of all (`*`): damaged ones, then by age."""
        found = []
        with self._reading(district_id):
            for path in self.files.find(self._night(district_id, night)):  # glob would interpret brackets
                run_id, found_asset, name = path.split("/")[-3:]
                if name == MANIFEST and asset in (found_asset, "*"):
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        content = self.files.cat_file(path)
                        found.append(_landed_asset(content, district_id, night, run_id, found_asset))
        return sorted(found, key=lambda one: (one.landed_at, one.run_id))

    def nights(self, district_id: str) -> list[date]:
        """The nights with a folder for this district, oldest first."""
        with self._reading(district_id):
            return list(self._by_night(district_id))

    def _by_night(self, folder: str, suffix: str = "") -> dict[date, str]:
        """Night → path of what is named `<night><suffix>` in a folder, oldest first."""
        paths: list[str] = []
        with suppress(FileNotFoundError):
            paths = sorted(self.files.ls(f"{self.base}/{folder}", detail=False))
        found = {}
        for path in paths:
            name = path.rstrip("/").rpartition("/")[2]
            with suppress(ValueError):
                night = date.fromisoformat(name.removesuffix(suffix))
                if name == f"{night}{suffix}":
                    found[night] = path
        return found

    def values(self, district_id: str, asset: str, table: str, *columns: str) -> set[tuple[Any, ...]]:
        """What these columns of a table hold in any run's readable file, whether or not it is as landed."""
        found: set[tuple[Any, ...]] = set()
        with self._reading(district_id):
            for path in self.files.find(f"{self.base}/{district_id}"):
                if path.endswith(f"/{asset}/{table}.parquet"):
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        content = self.files.cat_file(path)
                        with suppress(OSError, KeyError, pa.ArrowException):
                            read = pq.read_table(_source(content), columns=list(columns))
                            found.update(zip(*(read[name].to_pylist() for name in columns), strict=True))
        return found

    def read_last(self, asset: str, table: str, *, district_id: str, up_to: date) -> pd.DataFrame | None:
        """One table of the asset as last landed on that night or before. None if it never landed."""
        for night in reversed([night for night in self.nights(district_id) if night <= up_to]):
            for landed in reversed(self.landed(asset, district_id=district_id, night=night)):
                if table in landed.rows:
                    return self.open(landed, table)[table]
        return None

    def prune(
        self,
        district_id: str,
        keep_from: date,
        also_keep: Collection[date] = frozenset(),
        *,
        today: date,
        local_date: Callable[[datetime], date],
    ) -> list[date]:
        """Delete, whole, the nights that landed before `keep_from`, except the ones to keep as well.

        A night's own date may be far from the day on which it landed (`sync --today`). One between
        `keep_from` and `today` is kept without looking at its files. `local_date` is the district's date at a
        moment. Return the deleted nights, oldest first. If it raises, later nights were not touched.
        """
        pruned = []
        for night in self.nights(district_id):
            if night not in also_keep and not keep_from <= night <= today:
                landed = self.landed("*", district_id=district_id, night=night)
                if not landed or local_date(landed[-1].landed_at) < keep_from:
                    self._delete(self._night(district_id, night), f"landed files of {district_id} on {night}")
                    pruned.append(night)
        return pruned

    def keep_page(self, night: date, page: str) -> str:
        """Write a night's report, replacing an earlier one. Return its location."""
        name = f"{REPORTS}/{night}{_PAGE}"
        with self.errors(f"the report of {night} cannot be written"):
            self.make_folder(f"{self.base}/{REPORTS}")
            with self.files.open(f"{self.base}/{name}", "w", encoding="utf-8") as file:
                file.write(page)
        return f"{self.root}/{name}"

    def pages(self) -> dict[date, str]:
        """The reports by night, as HTML."""
        found = {}
        with self.errors("the reports cannot be read"):
            for night, path in self._by_night(REPORTS, _PAGE).items():
                with suppress(FileNotFoundError):
                    found[night] = self.files.cat_file(path).decode(errors="replace")
        return found

    def prune_pages(self, keep_from: date) -> list[date]:
        """Delete the reports of nights before `keep_from`. Return these nights."""
        with self.errors("old reports cannot all be deleted"):
            pages = self._by_night(REPORTS, _PAGE).items()
            old = {night: path for night, path in pages if night < keep_from}
            for path in old.values():
                with suppress(FileNotFoundError):
                    self.files.rm_file(path)
        return list(old)

    def rewrite(
        self,
        district_id: str,
        change: Callable[[dict[str, pa.Table]], dict[str, pa.Table]],
        *,
        in_progress: Callable[[], str | None],
        last: str,
        dry_run: bool = False,
    ) -> Rewritten:
        """Remove rows from every landed asset of a district, and delete what cannot be read.

        Each file is replaced as a whole and then the manifest. If this is interrupted, the asset counts as
        damaged until a second call, which recognizes the files that are done.

        Args:
            change: an asset's tables → the tables with the rows to keep.
            in_progress: the run that may be landing now. Its incomplete folders stay.
            last: the asset to rewrite after all others.
        """
        files = rows = deleted = 0
        with self._reading(district_id):
            base = f"{self.base}/{district_id}"
            found = {path.rpartition("/")[0] for path in self.files.find(base)}
            folders = {one for one in found if one.removeprefix(base).count("/") == 3}
            for folder in sorted(folders, key=lambda one: (one.endswith(f"/{last}"), one)):
                night, run_id, asset = folder.split("/")[-3:]
                alive = in_progress() == run_id  # before its manifest is looked for
                with suppress(FileNotFoundError, LandedFileError):
                    manifest = self.files.cat_file(f"{folder}/{MANIFEST}")
                    landed = _landed_asset(manifest, district_id, date.fromisoformat(night), run_id, asset)
                    changed, removed = self._rewrite(landed, change, dry_run)
                    files, rows = files + changed, rows + removed
                    continue
                if not alive:
                    deleted += (
                        len(self.files.find(folder)) if dry_run else self._delete(folder, "landed files")
                    )
        return Rewritten(files, rows, deleted)

    def _rewrite(
        self, landed: LandedAsset, change: Callable[[dict[str, pa.Table]], dict[str, pa.Table]], dry_run: bool
    ) -> tuple[int, int]:
        """Replace changed files, then the manifest. Return the number of changed files and removed rows.

        Raises `LandedFileError` if a file is neither as landed nor as an interrupted call left it.
        """
        if landed.damaged:
            raise LandedFileError(landed, MANIFEST, "is damaged")
        opened = {name: self._open(landed, name, rewritten=True) for name in landed.rows}
        before = {name: file.table for name, file in opened.items()}
        hashes = {name: file.sha256 for name, file in opened.items()}
        after, folder = change(before), self._folder(landed)
        changed = [name for name in before if len(before[name]) != len(after[name])]
        removed = sum(len(before[name]) - len(after[name]) for name in changed)
        if dry_run:
            return len(changed), removed
        rows = {name: len(table) for name, table in after.items()}
        for name in changed:
            facts = opened[name].facts | {"rows": rows[name], "rewritten": True}
            content = _parquet(after[name], facts)
            self._replace(f"{folder}/{name}.parquet", content)
            hashes[name] = sha256(content).hexdigest()
        rewritten = replace(landed, rows=rows, sha256=hashes)
        if rewritten != landed:
            self._replace(f"{folder}/{MANIFEST}", _manifest(rewritten))
        for path in self.files.find(folder):
            if path.endswith(_NEW):  # of an interrupted call
                self.files.rm_file(path)
        return len(changed), removed

    def _replace(self, path: str, content: bytes) -> None:
        """Replace a file without a moment in which half of it is there."""
        self.files.pipe_file(f"{path}{_NEW}", content)
        self.files.mv(f"{path}{_NEW}", path)

    def erase(self, district_id: str) -> int:
        """Delete everything in a district's folder. Return its number of files, 0 if there is none."""
        if not _FOLDER_NAME.fullmatch(district_id):
            raise LandingError(f"{district_id!a} names no district's folder; nothing was deleted")
        return self._delete(f"{self.base}/{district_id}", f"landed files of {district_id}")

    def count_files(self, district_id: str) -> int:
        """Count a district's landed files."""
        with self._reading(district_id):
            return len(self.files.find(f"{self.base}/{district_id}"))

    def _delete(self, folder: str, what: str) -> int:
        """Delete a folder, manifests first. Files that others delete meanwhile are fine."""
        deleted = 0
        with self.errors(f"{what} cannot all be deleted"):
            for _ in range(_TRIES):
                files = self.files.find(folder)
                manifests = [path for path in files if path.endswith(f"/{MANIFEST}")]
                self._delete_files(manifests)
                self._delete_files(sorted({*files} - {*manifests}))
                deleted += len(files)
                self.remove_folder(folder)
                if not self.files.exists(folder):
                    return deleted
        raise LandingError(
            f"{what} cannot all be deleted (storage at {self.root}: somebody else is writing)",
            next_step=REACH_IT,
        )

    def _delete_files(self, paths: list[str]) -> None:
        """Delete in bulk if the storage can. That would interpret brackets in the root as a pattern."""
        if not has_magic(self.base):
            with suppress(FileNotFoundError):
                if paths:
                    self.files.rm(paths)
                return
        for path in paths:
            with suppress(FileNotFoundError):
                self.files.rm_file(path)

    def _open(self, landed: LandedAsset, table: str, *, rewritten: bool = False) -> _File:
        """Open a file as this run landed it, or as `rewrite` changed it since. Else: `LandedFileError`."""
        with self._reading(landed.district_id):
            try:
                content = self.files.cat_file(f"{self._folder(landed)}/{table}.parquet")
            except FileNotFoundError:
                raise LandedFileError(landed, table, "is missing") from None
        file, digest = None, sha256(content).hexdigest()
        as_landed = digest == landed.sha256.get(table)
        if as_landed or rewritten:
            with suppress(*_BAD_FILE):
                found = pq.read_table(_source(content))
                facts = dict(json.loads((found.schema.metadata or {})[METADATA_KEY]))
                file = _File(found, facts, digest)
        if file is None or not (as_landed or file.facts.get("rewritten")):
            raise LandedFileError(landed, table, "is damaged or was replaced")
        if not landed.identity(table).items() <= file.facts.items():
            raise LandedFileError(landed, table, "belongs to another district, night or run")
        return file

    def _reading(self, district_id: str) -> AbstractContextManager[None]:
        return self.errors(f"landed files of {district_id} cannot be read")

    def _night(self, district_id: str, night: date) -> str:
        return f"{self.base}/{district_id}/{night.isoformat()}"

    def _folder(self, landed: LandedAsset) -> str:
        return f"{self._night(landed.district_id, landed.night)}/{landed.run_id}/{landed.asset}"


def _manifest(landed: LandedAsset) -> bytes:
    facts = {"asset": landed.asset, "landed_at": landed.landed_at.isoformat()}
    return json.dumps(facts | {"rows": landed.rows, "sha256": landed.sha256}).encode()


def _source(content: bytes) -> pa.BufferReader:
    """Copy a file's bytes into memory that Arrow owns.

    Its threads may still hold them when a command ends. Freeing a Python object then would abort the process.
    """
    copy = pa.BufferOutputStream()
    copy.write(content)
    return pa.BufferReader(copy.getvalue())


def _parquet(table: pa.Table, facts: Mapping[str, Any]) -> bytes:
    """A table as a Parquet file that holds these facts."""
    table = table.replace_schema_metadata({METADATA_KEY: json.dumps(facts, default=str)})
    buffer = pa.BufferOutputStream()
    # Codes and flags stay dictionaries. Texts and ids are mostly distinct, so a dictionary gains nothing.
    pq.write_table(table, buffer, compression="zstd", dictionary_pagesize_limit=_DICTIONARY)
    content: bytes = buffer.getvalue().to_pybytes()
    return content


def _landed_asset(content: bytes, district_id: str, night: date, run_id: str, asset: str) -> LandedAsset:
    try:
        manifest = json.loads(content)
        landed_at = datetime.fromisoformat(manifest["landed_at"]).astimezone(UTC)
        if not _LONG_AGO.year <= landed_at.year < MAXYEAR:  # a local date at the ends of time overflows
            raise ValueError
        rows, sha256 = dict(manifest["rows"]), dict(manifest["sha256"])
    except _BAD_JSON:
        return LandedAsset(district_id, night, run_id, asset, _LONG_AGO, damaged=True)
    return LandedAsset(district_id, night, run_id, asset, landed_at, rows, sha256)
