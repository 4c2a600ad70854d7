"""Checks of an ONNX file without running it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from e2edist.engines import RANDOM, inner_graphs
from e2edist.errors import ModelError
from e2edist.install_hint import pip_install

OK: Final = "ok"
NOTE: Final = "note"
FAIL: Final = "fail"
#: Domains of operators that every official build of ONNX Runtime knows.
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
_RUNTIME_DOMAINS = {"com.microsoft", "com.microsoft.nchwc"}
#: Older opsets had other meanings for some operators, and less testing in today's runtimes.
_OLD_OPSET = 9


@dataclass(frozen=True, slots=True)
class Check:
    """One static check: what was looked at, what was found, and whether that is in order."""

    name: str
    found: str
    status: Literal["ok", "note", "fail"]
    why: str = ""

    @property
    def content(self) -> dict[str, str]:
        """All of it, with the keys of validation records."""
        return {"name": self.name, "found": self.found, "verdict": self.status, "why": self.why}


def check_file(path: str, sha256: str) -> list[Check]:
    """Return the static checks of an ONNX file.

    Raises
    ------
    ModelError
        The file can't be read as ONNX.
    """
    size = Path(path).stat().st_size
    found = [Check("sha256", sha256, OK), Check("size", f"{size:,} bytes", OK)]
    try:
        import onnx
    except ImportError:
        why = f"{pip_install('validate')} to look at opset, operators, axes and weights"
        return [*found, Check("graph", "not looked at", NOTE, why)]
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's errors differ between its versions
        raise ModelError(path, "is not an ONNX file, or is damaged", "Export it again.") from error
    if not model.graph.node and not model.graph.output:
        raise ModelError(path, "is not an ONNX file: it has no graph", "Export it again.")
    return [
        *found,
        _opset(model),
        _domains(model),
        *_axes(model),
        _weights(model, path),
        _external(model),
        *_notes(model),
    ]


def _opset(model: Any) -> Check:
    version = next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 0)
    made = f"{version}, IR {model.ir_version}, by {model.producer_name or 'unknown'} {model.producer_version}"
    if version < _OLD_OPSET:
        return Check("opset", made.strip(), NOTE, f"older than {_OLD_OPSET}: export it anew if you can")
    return Check("opset", made.strip(), OK)


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for inner in inner_graphs(node):
            yield from _graphs(inner)


def _nodes(model: Any) -> Iterator[Any]:
    for graph in (*_graphs(model.graph), *model.functions):
        yield from graph.node


def _domains(model: Any) -> Check:
    own = {function.domain for function in model.functions}
    used = {node.domain for node in _nodes(model)} - _DOMAINS - own
    foreign = sorted(used - _RUNTIME_DOMAINS)
    if foreign:
        kinds = sorted({node.op_type for node in _nodes(model) if node.domain in foreign})
        why = f"{', '.join(kinds[:5])} of no official build"
        return Check("operators", f"custom domain {', '.join(foreign)}", FAIL, why)
    if used:
        return Check("operators", ", ".join(sorted(used)), NOTE, "only ONNX Runtime knows them")
    return Check("operators", "standard", OK)


def _axes(model: Any) -> Iterator[Check]:
    stored = {tensor.name for tensor in model.graph.initializer}
    for item in model.graph.input:
        if item.name in stored:
            continue
        dims = [d.dim_value if d.HasField("dim_value") else (d.dim_param or "?") for d in _shape(item)]
        text = f"{item.name} {dims}"
        if len(dims) == 4 and any(isinstance(d, str) for d in dims[1:]):
            yield Check("axes", text, NOTE, "a free image axis: a wrong layout is not refused when loading")
        elif dims and isinstance(dims[0], int):
            yield Check("axes", text, NOTE, f"fixed batch of {dims[0]}")
        else:
            yield Check("axes", text, OK)


def _shape(item: Any) -> Any:
    return item.type.tensor_type.shape.dim


def _tensors(model: Any) -> Iterator[Any]:
    for graph in _graphs(model.graph):
        yield from graph.initializer
    for node in _nodes(model):
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def _weights(model: Any, path: str) -> Check:
    import numpy as np
    from onnx import numpy_helper

    count, bad, short = 0, [], []
    for tensor in _tensors(model):
        try:
            values = numpy_helper.to_array(tensor, str(Path(path).parent))
        except Exception:  # numpy's and onnx's errors have no common class
            short.append(f"{tensor.name or 'a constant'} {list(tensor.dims)}")
            continue
        count += values.size
        # Lower bounds and masks are rightly infinite: only what is applied as a weight is looked at.
        if values.dtype.kind == "f" and values.size > 1 and not np.isfinite(values).all():
            bad.append(tensor.name or "a constant")
    if short:
        why = f"not as many numbers as the shape says: {', '.join(short[:5])}"
        return Check("weights", f"{count:,} numbers", FAIL, f"{why}; the file is damaged, export it again")
    if bad:
        return Check("weights", f"{count:,} numbers", FAIL, f"NaN or infinity in {', '.join(bad[:5])}")
    return Check("weights", f"{count:,} numbers, all finite", OK)


def weight_digests(path: str) -> tuple[str, ...]:
    """Return shape and digest of every float32 weight tensor of an ONNX file, sorted.

    None without onnx.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        return ()
    weights = onnx.load(path, load_external_data=False).graph.initializer
    prints = []
    for tensor in (t for t in weights if t.data_type == onnx.TensorProto.FLOAT):
        try:
            values = numpy_helper.to_array(tensor, str(Path(path).parent))
        except Exception:  # cut: the checks of the file say so
            return ()
        digest = hashlib.blake2b(values.astype("<f4").tobytes(), digest_size=8)
        prints.append(f"{'x'.join(map(str, tensor.dims))}:{digest.hexdigest()}")
    return tuple(sorted(prints))


def check_weights(path: str, wanted: Sequence[str]) -> Check | None:
    """Return whether a model has the weights that a reference was made with; None if that is not known.

    One weight in a network may move no score of some dozens of objects: it is noticed here. A model with
    weights of other shapes (fused, half precision) is left to its scores.
    """
    have = weight_digests(path)
    shapes = [[item.partition(":")[0] for item in prints] for prints in (have, wanted)]
    if not have or not wanted or shapes[0] != shapes[1]:
        return None
    differ = len(set(wanted) - set(have))
    text = f"{len(have)} tensors"
    if differ:
        return Check("reference's", text, FAIL, f"{differ} weight tensors are not those of the reference")
    return Check("reference's", f"{text}, the same", OK)


def _external(model: Any) -> Check:
    files = sorted({e.value for t in _tensors(model) for e in t.external_data if e.key == "location"})
    if files:
        why = "the sha256 above is of all of them: keep them together"
        return Check("external data", ", ".join(files[:5]), NOTE, why)
    return Check("external data", "none", OK)


def check_batches(fault: str) -> Check:
    """Return what scoring a few images in several batches showed (`e2edist.engines.check_stability`)."""
    if fault:
        return Check("batches", "scores differ", FAIL, fault)
    return Check("batches", "the same scores in each", OK)


def _notes(model: Any) -> Iterator[Check]:
    kinds = {node.op_type for node in _nodes(model)}
    if random := sorted(kinds & RANDOM):
        yield Check("randomness", ", ".join(random), FAIL, "the same image would get other scores each time")
    training = [
        node.op_type
        for node in _nodes(model)
        if any(a.name == "training_mode" and a.i for a in node.attribute)
    ]
    if training:
        yield Check("training mode", ", ".join(sorted(set(training))), FAIL, "export it for inference")
