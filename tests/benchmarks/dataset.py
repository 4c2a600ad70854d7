"""Samples of the benchmark: the real events (or demo events) as hit ntuples, so many times over."""

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
import onnx
import uproot

from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.formats import open_events
from e2edist.imaging.event_batch import TABLES

PREFIX = {"EB": "EBRecHit", "EE": "EERecHit", "HBHE": "HBHERecHit", "tracks": "Track"}
PREFIX |= {"photon": "Photon", "electron": "GsfElectron", "jet": "PFJet"}
#: The published top images have three pixel layers; these events have none, so their tracks stand in.
PIXELS = ("BPIX1", "BPIX2", "BPIX3")
TAGGERS = ("eg", "qg", "top8")
#: Activity of other collisions in 2018, as a multiple of 2012's.
BUSY = 4.0
DEMO = {"eg": "eg", "qg": "qg", "top8": "top"}


@dataclass(frozen=True)
class Sample:
    """What the ways read: `big` for the fast ones, `small` for those that take each event by itself."""

    name: str
    tagger: str
    distinct: int
    copies: int
    big: list
    small: list


def real_events():
    """Return the folder of the real events, or None where there is none."""
    default = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("E2EDIST_DATA", default))
    return folder if (folder / "edm" / "given_1.root").is_file() else None


def tagger_file(folder, name):
    """Return a tagger's file: top8 is the top tagger with three pixel layers more."""
    packaged = Path(__file__).resolve().parents[2] / "e2edist" / "taggers"
    if name != "top8":
        return packaged / f"{name}.toml"
    text = (packaged / "top.toml").read_text(encoding="utf-8").replace('name = "top"', 'name = "top8"')
    head, model = text.split("[model]")
    more = "".join(f'[[channels]]\nlayer = "{layer}"\nscale = 0.2\n\n' for layer in PIXELS)
    lines = [line for line in model.splitlines() if not line.startswith(("path", "sha256"))]
    path = folder / "top8.toml"
    path.write_text(f'{head}{more}[model]\npath = "top8.onnx"' + "\n".join(lines) + "\n", encoding="utf-8")
    _widen(packaged / "models" / "top.onnx", folder / "top8.onnx", 8)
    return path


def _widen(source, target, channels):
    """Give the demo's top network (ResNet-15) first filters for more channels: random, seed fixed."""
    model = onnx.load(source)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    weight = next(w for w in model.graph.initializer if w.name == first.input[1])
    old = onnx.numpy_helper.to_array(weight)
    shape = (old.shape[0], channels - old.shape[1], *old.shape[2:])
    more = np.random.default_rng(8).normal(0, old.std(), shape).astype(np.float32)
    weight.CopyFrom(onnx.numpy_helper.from_array(np.concatenate([old, more], axis=1), weight.name))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = channels
    onnx.save(model, target)


def batches(paths, tagger):
    columns = {k: v for k, v in tagger.columns().items() if k not in PIXELS}
    if set(PIXELS) & {channel.layer for channel in tagger.channels}:
        columns["tracks"] = columns["tracks"] | {"eta", "phi"}
    for path in paths:
        with open_events(str(path), columns, tagger.objects.collections) as reader:
            yield reader.read(0, reader.info.entries)


def records_of(batches, tagger):
    """Return table -> awkward records of all events, under the names of a hit ntuple."""
    wanted = {name: columns for name, columns in tagger.columns().items() if name in TABLES}
    parts = {}
    for batch in batches:
        for name, columns in wanted.items():
            table = batch["tracks"] if name in PIXELS else batch[name]
            flat = {c: table[c].astype(TABLES[name][c]) for c in sorted(columns)}
            rows = ak.unflatten(ak.zip(flat, depth_limit=1), table.counts())
            parts.setdefault(PREFIX.get(name, f"{name}Hit"), []).append(rows)
    return {name: ak.concatenate(found) for name, found in parts.items()}


def write(path, records, copies, compression=None):
    """Write the events `copies` times, a cluster each, with running event numbers."""
    count = len(next(iter(records.values())))
    with uproot.recreate(path, compression=compression or uproot.ZSTD(3)) as file:
        numbers = {"run": "u4", "luminosityBlock": "u4", "event": "u8"}
        types = {name: rows.type.content for name, rows in records.items()}
        tree = file.mktree("Events", types | numbers)
        for i in range(copies):
            event = np.arange(i * count, (i + 1) * count, dtype="u8")
            lumi = np.full(count, i + 1, "u4")
            tree.extend(records | {"run": lumi * 0 + 1, "luminosityBlock": lumi, "event": event})
    return path


def copy(path, number):
    """Return a copy that is a file of its own: with another uuid."""
    with uproot.open(path) as file:
        old = file.file.uuid.bytes
    target = path.with_name(f"{path.stem}_{number}.root")
    target.write_bytes(path.read_bytes().replace(old, uuid.uuid5(uuid.UUID(bytes=old), str(number)).bytes))
    return target


def make(folder, name, copies, *, busy=False, files=2, distinct=659, small=659):
    """Write the sample of a tagger: ``files`` files of `copies` times the events, and one of `small` events.

    `distinct` is how many demo events there are where no real ones are to be had, or with `busy`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = tagger_file(folder.parent, name)
    tagger, data = load_tagger(str(file)), real_events()
    if data and not busy:
        label, paths = "real", [data / "edm" / f"given_{i}.root" for i in (1, 2)]
    else:
        label, pileup = ("2018-like", BUSY) if busy else ("demo", None)
        demo = folder / f"demo_{name}_{label}"
        paths = make_events(demo, DEMO[name], distinct, 5, files=1, pileup=pileup)
    records = records_of(batches(paths, tagger), tagger)
    first = write(folder / f"{name}_{label}.root", records, copies)
    few = {table: rows[:small] for table, rows in records.items()}
    one = write(folder / f"{name}_{label}_small.root", few, 1)
    big = [str(first), *(str(copy(first, i)) for i in range(1, files))]
    count = len(next(iter(records.values())))
    return Sample(label, str(file), count, copies * files, big, [str(one)])
