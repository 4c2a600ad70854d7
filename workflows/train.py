"""Train a demo network on made-up events and export it to ONNX; see workflows/README.md.

    python workflows/train.py --tagger eg

The crops come from e2edist's own readers, layers, seeds and normalisation, as the tagger file states them,
so that the network sees in training what it will see in a campaign.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from e2edist.config.tagger import TaggerSpec, load_tagger
from e2edist.demo import LABELS, make_events
from e2edist.formats import open_events
from e2edist.imaging import crops as cropping
from e2edist.parity.float64_reference import float64_scores
from e2edist.parity.reference_objects import from_demo
from e2edist.parity.reference_scores import reference_path, save_reference
from e2edist.worker.images import make_images as images_of

Array = NDArray[Any]
#: tagger -> (training events, epochs): some minutes on two cores.
SIZES = {"eg": (40_000, 10), "qg": (10_000, 8), "top": (5_000, 8), "tau": (5_000, 8)}
#: Reference objects of the reference that is saved beside the model: less than 50 kB for all of them.
REFERENCE = {"eg": 48, "qg": 20, "top": 20, "tau": 20}
OPSET = 17


@dataclass(frozen=True)
class Images:
    """Sparse crops of labelled objects, in pieces of one cluster each.

    Attributes
    ----------
    crops : list of Crops
    where : int64, shape (objects, 2)
        Piece and number in the piece.
    label : float32, shape (objects,)
    rule : Normalisation
        Channels last, which convolutions on a CPU prefer.
    """

    crops: list[cropping.Crops]
    where: Array
    label: Array
    rule: cropping.Normalisation

    def batch(self, objects: Array) -> Tensor:
        """Return normalised images of `objects`, NCHW in channels-last memory."""
        out = cropping.blank(len(objects), self.crops[0], self.rule)
        for k, (piece, number) in enumerate(self.where[objects]):
            cropping.paint(self.crops[piece], number, number + 1, self.rule, out[k : k + 1])
        return torch.from_numpy(out).permute(0, 3, 1, 2)


def make_images(tagger: TaggerSpec, events: int, seed: int) -> Images:
    """Generate demo events and return the crops of their true objects, of the tagger's first kind."""
    pieces, labels, where = [], [], []
    kinds = tagger.objects.model_copy(update={"kinds": tagger.objects.kinds[:1]})
    tagger = tagger.model_copy(update={"objects": kinds})
    with tempfile.TemporaryDirectory() as folder:
        for path in make_events(Path(folder), tagger.name, events, seed, files=1):
            with open_events(str(path), tagger.columns(), tagger.objects.collections) as reader:
                for start, stop in pairwise(reader.info.edges):
                    images = images_of(reader.read(start, stop), tagger)
                    label = images.objects["label"][images.accepted]
                    known = np.flatnonzero(label >= 0)
                    where.append(np.stack([np.full(len(known), len(pieces)), known], axis=1))
                    labels.append(label[known])
                    pieces.append(images.crops)
    rule = replace(tagger.normalisation, channels_last=True)
    return Images(pieces, np.concatenate(where), np.concatenate(labels).astype(np.float32), rule)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inside: int, maps: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, maps, 3, stride, padding=1)
        self.second = nn.Conv2d(maps, maps, 3, padding=1)
        self.shortcut = nn.Conv2d(inside, maps, 1, stride) if stride > 1 else nn.Identity()
        # Blocks begin as the identity: without normalisation layers, 15 layers would not train otherwise.
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (N, maps, H / stride, W / stride)."""
        return torch.relu(self.shortcut(x) + self.second(torch.relu(self.first(x))))


class ResNet15(nn.Module):
    """The E2E group's ResNet-15 (arXiv:1902.08276); gives logits (N, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 16, 7, stride=2, padding=3)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        plan = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 3
        self.blocks = nn.Sequential(*(Block(*shape) for shape in plan))
        self.last = nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return self.last(self.blocks(self.pool(torch.relu(self.stem(x)))).amax(dim=(2, 3)))


class Scores(nn.Module):
    """A network with a sigmoid behind it, as it is exported."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return probabilities (N, 1)."""
        return torch.sigmoid(self.network(x))


def fit(images: Images, epochs: int, seed: int, batch: int = 64) -> nn.Module:
    """Train a network with Adam and a one-cycle learning rate; odd windows are mirrored at random."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = ResNet15(images.crops[0].channels).to(memory_format=torch.channels_last)
    steps = len(images.label) // batch
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * steps)
    loss_of = nn.BCEWithLogitsLoss()
    for epoch in range(epochs):
        start, total = time.perf_counter(), 0.0
        order = rng.permutation(len(images.label))
        for step in range(steps):
            objects = order[step * batch : (step + 1) * batch]
            x, y = images.batch(objects), torch.from_numpy(images.label[objects])
            if images.crops[0].size % 2:
                x = x.flip([axis for axis in (2, 3) if rng.random() < 0.5])
            optimizer.zero_grad()
            loss = loss_of(network(x.contiguous(memory_format=torch.channels_last)).squeeze(1), y)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1:2d}/{epochs}  loss {total / steps:.4f}  {seconds:.0f} s", flush=True)
    return network


def export(network: nn.Module, images: Images, path: Path) -> None:
    """Write `network` with a sigmoid as one ONNX file with a free batch size."""
    crops = images.crops[0]
    example = torch.zeros(2, crops.channels, crops.size, crops.size)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # The older exporter says that it is old; the newer one needs another package, onnxscript.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Scores(network.to(memory_format=torch.contiguous_format)).eval(),
            (example,),
            str(path),
            input_names=["modelInput"],
            output_names=["modelOutput"],
            dynamic_axes={"modelInput": {0: "batch"}, "modelOutput": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )


def describe(path: Path, properties: dict[str, str]) -> None:
    """Write `properties` into the metadata of the ONNX file."""
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, properties)
    model.producer_version = ""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def scores_of(path: Path, images: Images, batch: int = 32) -> Array:
    """Return the scores that ONNX Runtime gives all `images`."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    number = np.arange(len(images.label))
    parts = []
    for objects in np.array_split(number, max(1, len(number) // batch)):
        x = np.ascontiguousarray(images.batch(objects).numpy())
        parts.append(session.run(["modelOutput"], {"modelInput": x})[0][:, 0])
    return np.concatenate(parts)


def auc(scores: Array, label: Array) -> float:
    """Return the area under the ROC curve: the share of pairs in the right order, ties count half."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    positive = label > 0.5
    n, m = int(positive.sum()), int((~positive).sum())
    return float((rank[positive].sum() - n * (n + 1) / 2) / (n * m))


def write_reference(tagger: TaggerSpec) -> Path:
    """Save what onnx.reference, in float64 and without ONNX Runtime, gives some demo objects."""
    path = reference_path(tagger.model.path)
    objects = from_demo(tagger, REFERENCE[tagger.name], seed=6)
    save_reference(path, tagger, float64_scores(tagger, objects))
    return path


def arguments(words: list[str]) -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tagger", required=True, choices=sorted(LABELS))
    parser.add_argument("--events", type=int, help="events to train on; a quarter more are held out")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of torch; one is quickest on a busy machine")
    parser.add_argument(
        "--reference-only", action="store_true", help="train nothing: make the reference of --out"
    )
    parser.add_argument("--out", type=Path, help="ONNX file; default: <tagger>.onnx")
    args = parser.parse_args(words)
    events, epochs = SIZES[args.tagger]
    args.events, args.epochs = args.events or events, args.epochs or epochs
    args.out = args.out or Path(f"{args.tagger}.onnx")
    return args


def main(words: list[str]) -> None:
    """Generate, train, export, and measure the exported file on held-out events."""
    args = arguments(words)
    if args.reference_only:
        print(write_reference(load_tagger(args.tagger, str(args.out))))
        return
    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    # Only the images are needed of the tagger: any readable file stands in for the model to be made.
    tagger = load_tagger(args.tagger, model=os.devnull)
    train = make_images(tagger, args.events, args.seed)
    held_out = make_images(tagger, max(args.events // 4, 8), args.seed + 1000)
    print(f"{len(train.label)} training, {len(held_out.label)} held-out images, ", end="")
    print(f"{time.perf_counter() - start:.0f} s", flush=True)
    network = fit(train, args.epochs, args.seed)
    export(network, held_out, args.out)
    area = auc(scores_of(args.out, held_out), held_out.label)
    names = {"tagger": args.tagger, "label_1": LABELS[args.tagger][0], "label_0": LABELS[args.tagger][1]}
    numbers = {"seed": args.seed, "events": args.events, "epochs": args.epochs, "auc": f"{area:.4f}"}
    describe(args.out, names | {key: str(value) for key, value in numbers.items()})
    print(f"reference scores: {write_reference(load_tagger(args.tagger, str(args.out)))}")
    digest = hashlib.sha256(args.out.read_bytes()).hexdigest()
    print(f"{args.tagger}: held-out AUC {area:.4f} (ONNX Runtime), {args.out.stat().st_size} bytes")
    print(f"{args.out} sha256 {digest}, {time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main(sys.argv[1:])
