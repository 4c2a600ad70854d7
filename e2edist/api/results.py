"""What a campaign, or its aggregated tables, hold: rows, losses, timing and sums."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from html import escape
from importlib.util import find_spec
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from e2edist.accounting.summary import summarise
from e2edist.control.state import read_state
from e2edist.errors import OutputError, ResourceError, unknown_name
from e2edist.install_hint import pip_install
from e2edist.records.file_columns import names_of_files, with_file_columns
from e2edist.records.folder import AggregatedFolder, CampaignFolder
from e2edist.records.ledger import choose_parts, read_receipts
from e2edist.records.losses import read_losses
from e2edist.records.part_columns import AGGREGATED_COLUMNS, PART_COLUMNS
from e2edist.records.parts import read_columns
from e2edist.records.plan import require_plan
from e2edist.urls import named_path

from .python_errors import python_errors

if TYPE_CHECKING:
    import pandas as pd

    from e2edist.records.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Results:
    """Results in a folder, as they were when it was opened; no rows are in memory.

    Attributes
    ----------
    folder : Path
    state : str
        As ``status`` says it: done, running, stopped, failed ...; aggregated for what ``aggregate`` wrote.
    events, events_done, objects : int
        Events that were planned, in files that could be opened; that are done; rows of their candidates.
    status : dict of str to int
        Objects by status.
    tagger : dict
        All of the tagger that decides a number; ``tagger["name"]``.
    summary : dict
        Sums: chunks, objects, status, stages, versions, warnings.
    complete : bool
        Whether every chunk has ended.
    dataset : pyarrow.dataset.Dataset
        All rows, to be read column by column, filtered, in batches; without `dataset` and `file` where the
        folder is a campaign's.
    datasets : tuple of str
        Names of the inputs' datasets, where they have any.
    """

    folder: Path
    state: str
    events: int
    events_done: int
    tagger: dict[str, Any]
    summary: dict[str, Any] = field(repr=False)
    complete: bool
    dataset: ds.Dataset = field(repr=False)
    datasets: tuple[str, ...] = ()
    #: uuid -> dataset and address, where the rows don't say so
    _files: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)

    @property
    def objects(self) -> int:
        """Rows: candidates of the events that are done, rejected ones too."""
        return int(self.summary["objects"])

    @property
    def status(self) -> dict[str, int]:
        """Objects by status."""
        return dict(self.summary["status"])

    @property
    def scores(self) -> list[str]:
        """Names of the score columns."""
        columns = [name for output in self.tagger["outputs"] for name in output["columns"]]
        if columns:
            return columns
        names = self.dataset.schema.names
        return [name for name in names[names.index("status") + 1 :] if name not in AGGREGATED_COLUMNS]

    @python_errors()
    def table(
        self,
        columns: str | Sequence[str] | None = None,
        *,
        status: str | None = None,
        dataset: str | None = None,
    ) -> pa.Table:
        """Return rows as a table in memory.

        Parameters
        ----------
        columns : list of str, or str, optional
            Default: all, ``dataset`` and ``file`` of the rows first.
        status : str, optional
            Of these objects only, as "ok"; default: of all.
        dataset : str, optional
            Of this dataset only.

        Raises
        ------
        UnknownNameError
            There is no such column, status or dataset.
        """
        stored = self.dataset.schema.names
        first = [name for name in AGGREGATED_COLUMNS if self._files or name in stored]
        known = [*first, *(name for name in stored if name not in AGGREGATED_COLUMNS)]
        columns = known if columns is None else [columns] if isinstance(columns, str) else list(columns)
        for kind, names, all_names in (
            ("column", columns, known),
            ("object of status", [status] if status is not None else [], self.status),
            ("dataset", [dataset] if dataset is not None else [], self.datasets),
        ):
            for name in names:
                if name not in all_names:
                    raise unknown_name(kind, name, all_names)
        return self._read(columns, self._filter(status, dataset))

    def _read(self, columns: list[str], wanted: pc.Expression | None) -> pa.Table:
        if not self._files:
            return self.dataset.to_table(columns=columns, filter=wanted)
        added = [name for name in AGGREGATED_COLUMNS if name in columns]
        stored = [name for name in columns if name not in AGGREGATED_COLUMNS]
        if added and "uuid" not in stored:
            stored.append("uuid")
        rows = self.dataset.to_table(columns=stored, filter=wanted)
        return with_file_columns(rows, self._files, added).select(columns) if added else rows

    def _filter(self, status: str | None, dataset: str | None) -> pc.Expression | None:
        found = []
        if status is not None:
            found.append(pc.field("status") == status)
        if dataset is not None and self._files:
            ours = [uuid for uuid, (name, _) in self._files.items() if name == dataset]
            found.append(pc.field("uuid").cast(pa.string()).isin(ours))
        elif dataset is not None:
            found.append(pc.field("dataset") == dataset)
        return reduce(and_, found) if found else None

    @python_errors()
    def to_pandas(
        self,
        columns: str | Sequence[str] | None = None,
        *,
        status: str | None = None,
        dataset: str | None = None,
    ) -> pd.DataFrame:
        """Return what `table` does as a DataFrame; needs pandas, which the extra `notebook` has.

        Raises
        ------
        ResourceError
            Pandas is not installed.
        """
        if find_spec("pandas") is None:
            todo = f"Run {pip_install('notebook')}, or use table()."
            raise ResourceError("pandas", "is not installed", todo)
        return self.table(columns, status=status, dataset=dataset).to_pandas()

    @property
    def losses(self) -> list[dict[str, Any]]:
        """Files and ranges of entries that were given up, and why: the rows of ``bad.parquet``."""
        with python_errors():
            return read_losses(self.folder)

    @property
    def timing(self) -> pa.Table:
        """Time by chunk and stage: ``timing.parquet``, written when a run ends."""
        with python_errors():
            path = CampaignFolder(self.folder).timing
            try:
                return read_columns(path)
            except (OSError, pa.ArrowException) as error:
                todo = "It is written when a run ends."
                raise OutputError(str(path), f"can't be read ({error})", todo) from error

    def _rows(self) -> Mapping[str, str]:
        events = f"{self.events_done:,} of {self.events:,}"
        states = ", ".join(f"{name} {number:,}" for name, number in sorted(self.status.items()))
        return {
            "tagger": str(self.tagger.get("name", "?")),
            "state": self.state,
            "events": events,
            "objects": f"{self.objects:,} ({states})",
            "scores": ", ".join(self.scores),
            "folder": str(self.folder),
        }

    def __repr__(self) -> str:
        return f"<results: {'; '.join(f'{name} {text}' for name, text in self._rows().items())}>"

    def _repr_html_(self) -> str:
        rows = self._rows().items()
        cells = (f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows)
        return f"<table>{''.join(cells)}</table>"


@python_errors()
def open_results(folder: str | os.PathLike[str]) -> Results:
    """Return the results in the folder of a campaign, also of one that runs, or of ``aggregate``.

    Raises
    ------
    OutputError
        The folder holds neither, or what it holds can't be read.

    Examples
    --------
    >>> results = e2edist.open_results("results")                             # doctest: +SKIP
    >>> results.to_pandas(["pt", "electron"], status="ok")                      # doctest: +SKIP
    """
    path = named_path(os.fspath(folder), "folder")
    if not path.is_dir():
        raise OutputError(str(path), "is no folder", "Name the output folder of a campaign.")
    if AggregatedFolder(path).summary.is_file() and not CampaignFolder(path).is_planned():
        return _open_aggregated(path)
    return _open_campaign(path)


def _open_campaign(path: Path) -> Results:
    state, plan = read_state(path, ask_queue=False), require_plan(path)
    names: list[str] = []

    def receipts() -> Iterator[Receipt]:
        for receipt in read_receipts(path, plan.fingerprint):
            names.append(receipt.id)
            yield receipt

    total = summarise(receipts())
    return Results(
        folder=path,
        state=state.state,
        events=plan.events,
        events_done=total.events,
        tagger=plan.tagger,
        summary=total.facts(),
        complete=state.counts.complete,
        dataset=_parts(path, choose_parts(set(names), {}, plan.chunks())[0]),
        datasets=tuple(one.name for one in plan.datasets),
        _files=names_of_files(plan),
    )


def _parts(path: Path, names: Sequence[str]) -> ds.Dataset:
    """Return the rows of some parts; without any, no rows."""
    if not names:
        schema = pa.schema([(name, column.type) for name, column in PART_COLUMNS.items()])
        return ds.dataset(schema.empty_table())
    return ds.dataset([str(CampaignFolder(path).part(name)) for name in names], format="parquet")


def _open_aggregated(path: Path) -> Results:
    target = AggregatedFolder(path)
    try:
        summary = json.loads(target.summary.read_text(encoding="utf-8"))
        events, tagger = summary["events"], summary["tagger"]
        dataset = ds.dataset(str(target.table), format="parquet", partitioning="hive")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(str(path), f"can't be read ({error})", "Aggregate it once more.") from error
    return Results(
        folder=path,
        state="aggregated",
        events=events["planned"],
        events_done=events["done"],
        tagger=tagger,
        summary=summary,
        complete=events["done"] + events["lost"] >= events["planned"],
        dataset=dataset,
        datasets=_datasets(path, summary),
    )


def _datasets(path: Path, summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of datasets in the tables of ``aggregate``: from filesets, or by ``--dataset``."""
    if summary.get("datasets"):
        return tuple(summary["datasets"])
    sums = AggregatedFolder(path).datasets
    found = json.loads(sums.read_text(encoding="utf-8")) if sums.is_file() else {}
    return tuple(name for name in found if name)
