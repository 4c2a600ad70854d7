"""Our own page of the Dask dashboard, ``/e2edist``, and our lines in its ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from e2edist.accounting.telemetry import Telemetry, TelemetrySnapshot, running
from e2edist.records.receipt import EVENTSETUP

# Bokeh's own types know no property that is set after an object was made.
layouts: Any = import_module("bokeh.layouts")
models: Any = import_module("bokeh.models")
figure: Any = import_module("bokeh.plotting").figure
_COLOURS: Any = import_module("bokeh.palettes").Category10_10

ROUTE = "/e2edist"
_UPDATE_MS = 1000
_SIZE: dict[str, Any] = {"height": 280, "sizing_mode": "stretch_width"}
#: A curve is the mean over so many points.
_SMOOTH = 5


def curves(snapshot: TelemetrySnapshot) -> dict[str, dict[str, list[Any]]]:
    """Return pool -> times in ms since 1970, events per second, busy fraction of the model, workers."""
    found: dict[str, dict[str, list[Any]]] = {}
    points = snapshot.points
    names = dict.fromkeys(name for point in points for name in point.workers)
    for name in names:
        rows: dict[str, list[Any]] = {"t": [], "rate": [], "busy": [], "joined": [], "running": []}
        for i, now in enumerate(points):
            before = points[max(0, i - _SMOOTH)]
            seconds = max(1e-9, now.t - before.t)
            events = now.events.get(name, 0) - before.events.get(name, 0)
            model = now.model_s.get(name, 0.0) - before.model_s.get(name, 0.0)
            _, running, joined = now.workers.get(name, (0, 0, 0))
            rows["t"].append(now.t * 1e3)
            rows["rate"].append(events / seconds if i else 0.0)
            rows["busy"].append(min(1.0, model / seconds / max(1, now.threads)) if i else 0.0)
            rows["joined"].append(joined)
            rows["running"].append(running)
        found[name] = rows
    return found


def stages(snapshot: TelemetrySnapshot) -> dict[str, dict[str, list[Any]]]:
    """Return stage -> pools, left and right ends of their bars in ms per event and thread.

    Without setting up, which is once per worker: it would hide all else while a campaign is young.
    """
    bars: dict[str, dict[str, list[Any]]] = {}
    for pool, total in snapshot.pools.items():
        left = 0.0
        for name, seconds in total.stage_s.items():
            if name == EVENTSETUP:
                continue
            right = left + seconds * 1e3 / max(1, total.events)
            bar = bars.setdefault(name, {"pool": [], "left": [], "right": []})
            for key, value in (("pool", pool), ("left", left), ("right", right)):
                bar[key].append(value)
            left = right
    return bars


def headline(snapshot: TelemetrySnapshot) -> str:
    """Return counts, mean rate and remaining time as HTML."""
    progress, eta_s = snapshot.progress, snapshot.progress.eta_s
    eta = "not known yet" if eta_s is None else str(timedelta(seconds=eta_s))
    failures = "".join(f"<br>given up: {text}" for text in snapshot.failures)
    return (
        f"<h2>{snapshot.name}</h2><b>{progress.done:,}</b> of {progress.chunks:,} chunks done, "
        f"<b>{progress.failed:,}</b> given up, {progress.events_done:,} of {progress.events:,} events, "
        f"{progress.rate or 0.0:,.0f} events/s, time to go <b>{eta}</b>{failures}"
    )


class _Page:
    """The figures of one browser window."""

    def __init__(self, doc: Any) -> None:
        self._head = models.Div(
            text="No campaign runs in this process.", name="headline", sizing_mode="stretch_width"
        )
        self._lines: dict[str, Any] = {}
        self._figures = {
            "rate": self._figure("events / s", "Throughput"),
            "busy": self._figure("fraction of threads in the model", "How busy the model is"),
            "joined": self._figure("workers (dashed: jobs that run)", "Workers"),
        }
        self._bars: dict[str, Any] = {}
        self._stages = figure(
            title="Time per event, by module", y_range=[""], x_axis_label="ms / event and thread", **_SIZE
        )
        self._stages.add_layout(models.Legend(), "right")
        self._slow = models.ColumnDataSource({"seconds": [], "chunk": [], "host": []}, name="slowest")
        titles = (("seconds", "seconds"), ("chunk", "slowest chunks"), ("host", "host"))
        columns = [models.TableColumn(field=name, title=title) for name, title in titles]
        columns[1].width = 900
        shape = {"height": 300, "sizing_mode": "stretch_width", "index_position": None, "reorderable": False}
        table = models.DataTable(source=self._slow, columns=columns, **shape)
        panels = [
            self._head,
            layouts.row(self._figures["rate"], self._stages, sizing_mode="stretch_width"),
            layouts.row(self._figures["busy"], self._figures["joined"], sizing_mode="stretch_width"),
            table,
        ]
        doc.title = "e2edist"
        doc.add_root(layouts.column(*panels, sizing_mode="stretch_width"))
        doc.add_periodic_callback(self.update, _UPDATE_MS)
        self.update()

    def _figure(self, label: str, title: str) -> Any:
        made = figure(title=title, x_axis_type="datetime", y_axis_label=label, **_SIZE)
        made.y_range.start = 0
        return made

    def update(self) -> None:
        """Show what there is now."""
        if not running:
            return
        snapshot = running[-1].snapshot()
        self._head.text = headline(snapshot)
        for number, (name, rows) in enumerate(curves(snapshot).items()):
            if name not in self._lines:
                self._add_pool(name, _COLOURS[number % 10])
            self._lines[name].data = rows
        for name, bar in stages(snapshot).items():
            if name not in self._bars:
                self._add_stage(name, _COLOURS[len(self._bars) % 10])
            self._bars[name].data = bar
        self._stages.y_range.factors = list(snapshot.pools) or [""]
        keys = ("seconds", "chunk", "host")
        shown = [(f"{seconds:.1f}", chunk, host) for seconds, chunk, host in snapshot.slowest]
        self._slow.data = {key: [row_[i] for row_ in shown] for i, key in enumerate(keys)}

    def _add_stage(self, name: str, colour: str) -> None:
        source = models.ColumnDataSource({"pool": [], "left": [], "right": []}, name=f"stage {name}")
        self._bars[name] = source
        style = {"color": colour, "legend_label": name, "source": source}
        self._stages.hbar(y="pool", left="left", right="right", height=0.6, **style)

    def _add_pool(self, name: str, colour: str) -> None:
        empty: dict[str, list[Any]] = {key: [] for key in ("t", "rate", "busy", "joined", "running")}
        source = models.ColumnDataSource(empty, name=f"pool {name}")
        self._lines[name] = source
        style: dict[str, Any] = {"source": source, "color": colour, "legend_label": name, "line_width": 2}
        for key, made in self._figures.items():
            made.line("t", key, **style)
            made.legend.location = "top_left"
        self._figures["joined"].line("t", "running", **style | {"line_dash": "dashed", "line_width": 1})


def _document(scheduler: Any, extra: Any, doc: Any) -> None:  # noqa: ARG001 - as Dask calls its pages
    _Page(doc)


def add_page() -> None:
    """Add the page to the dashboards of the schedulers that start in this process from now on."""
    from distributed.dashboard.scheduler import applications

    applications[ROUTE] = _document


class _Metrics:
    """Our numbers for Prometheus."""

    def collect(self) -> Iterator[Any]:
        """Yield them; none while no campaign runs."""
        if not running:
            return
        snapshot = running[-1].snapshot()
        progress = snapshot.progress
        yield GaugeMetricFamily("e2edist_chunks_planned", "Chunks of the campaign", progress.chunks)
        yield GaugeMetricFamily("e2edist_events_planned", "Events of the campaign", progress.events)
        yield GaugeMetricFamily(
            "e2edist_events_done", "Events done, in earlier runs too", progress.events_done
        )
        yield CounterMetricFamily("e2edist_chunks_failed", "Chunks that were given up", progress.failed)
        chunks = CounterMetricFamily("e2edist_chunks", "Chunks done in this run", labels=["pool"])
        events = CounterMetricFamily("e2edist_events", "Events done in this run", labels=["pool"])
        objects = CounterMetricFamily("e2edist_objects", "Rows written in this run", labels=["pool"])
        names = ["pool", "stage"]
        seconds = CounterMetricFamily("e2edist_stage_seconds", "Wall time of threads", labels=names)
        for name, pool in snapshot.pools.items():
            chunks.add_metric([name], progress.done_by.get(name, 0))
            events.add_metric([name], pool.events)
            objects.add_metric([name], pool.objects)
            for stage, took in pool.stage_s.items():
                seconds.add_metric([name, stage], took)
        workers = GaugeMetricFamily("e2edist_workers", "Workers, or their jobs", labels=["pool", "state"])
        for name, counts in progress.pools.items():
            for state, count in zip(("queued", "running", "joined"), counts[1:], strict=True):
                workers.add_metric([name, state], count)
        yield from (chunks, events, objects, seconds, workers)


@contextmanager
def shown(one: Telemetry) -> Iterator[None]:
    """Show a campaign on page and metrics of schedulers in this process meanwhile."""
    metrics: Any = _Metrics()
    add_page()
    running.append(one)
    REGISTRY.register(metrics)
    try:
        yield
    finally:
        REGISTRY.unregister(metrics)
        running.remove(one)
