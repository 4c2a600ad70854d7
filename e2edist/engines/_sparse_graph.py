"""Images made on the device: a graph in front of the user's model that takes lists of pixels.

A 125x125x5 jet is 312 kB dense and a few kB as (pixel, value) lists (lessons.md). The graph
normalises the values, adds them to blank images and hands these to the model, whatever its layout,
type and opset, so that only the lists go over the bus. The arithmetic is that of `crops.paint`, value
by value, in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from e2edist.errors import ModelError
from e2edist.imaging.crops import Crops, Normalisation
from e2edist.imaging.event_batch import Array

from ._toposort import in_order

#: Names of ours inside the graph can't meet the model's.
_P = "e2edist_"
PIXEL, VALUE = f"{_P}pixel", f"{_P}value"
#: Opsets from which on there is Where, ScatterElements, and ScatterElements that adds.
_OLDEST, _ELEMENTS, _ADDS = 9, 11, 16
_TODO = 'Set images = "dense".'
_INT32 = 2**31 - 1
_TYPES = {"float32": 1, "float16": 10, "float64": 11}
#: Lists are padded to the next of these lengths: few shapes, so that nothing is tuned or allocated anew.
_QUARTERS, _SHORTEST = 4, 256


@dataclass(frozen=True, slots=True)
class Target:
    """The image input of a model.

    Attributes
    ----------
    name, dtype : str
        As the model has them.
    batch, channels, size : int
        Images per call, channels, n of n x n.
    """

    name: str
    dtype: str
    batch: int
    channels: int
    size: int

    @property
    def image(self) -> int:
        """Pixels of one image, all channels."""
        return self.channels * self.size**2


#: Before it, weights had to be inputs too.
_OLDEST_IR = 4


def merge(path: str, target: Target, rule: Normalisation) -> tuple[bytes, bool]:
    """Return the model with the graph in front, and whether it adds (else it writes: `fill_up`).

    Raises
    ------
    ModelError
        onnx is missing, or the model is older than opset 9 or can't be joined.
    """
    if target.batch * target.image > _INT32:
        raise ModelError(path, f"a batch of {target.batch} images has more than 2^31 pixels", "Set batch.")
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ModelError(path, "sparse images need the package onnx", f"Install it. {_TODO}") from error
    try:
        return _join(path, target, rule)
    except ModelError:
        raise
    except Exception as error:  # protobuf's and onnx's errors have no common class
        what = f"can't be joined with sparse images ({str(error).strip().splitlines()[0][:200]})"
        raise ModelError(path, what, _TODO) from error


def _join(path: str, target: Target, rule: Normalisation) -> tuple[bytes, bool]:
    import onnx
    from onnx import compose

    model = in_order(onnx.load(path))
    imports = {item.domain: item.version for item in model.opset_import if item.domain in {"", "ai.onnx"}}
    domain, opset = next(iter(imports.items()), ("", 0))
    if opset < _OLDEST:
        what = f"sparse images need opset {_OLDEST} or newer, it has {opset}"
        raise ModelError(path, what, _TODO)
    model.ir_version = max(model.ir_version, _OLDEST_IR)
    # At the model's own opset: the model stays as it is, not converted.
    front = onnx.helper.make_model(
        _graph(target, rule, opset),
        opset_imports=[onnx.helper.make_opsetid(domain, opset)],
        ir_version=model.ir_version,
    )
    joined: Any = compose.merge_models(front, model, io_map=[(target.name, target.name)])
    return joined.SerializeToString(), opset >= _ADDS


def _graph(target: Target, rule: Normalisation, opset: int) -> Any:
    """Return the graph: lists -> normalised values -> blank images + values -> the model's input."""
    from onnx import TensorProto, helper, numpy_helper

    adds, shape = opset >= _ADDS, _shape(target, rule)
    constants = {
        "area": np.array(target.size**2, np.int32),
        "channels": np.array(target.channels, np.int32),
        "threshold": rule.threshold,
        "scale": rule.scale,
        "offset": rule.offset,
        "nothing": np.array(0, np.float32),
        "blank": rule.offset.reshape((1, 1, 1, -1) if rule.channels_last else (1, -1, 1, 1)),
        "shape": np.array(shape, np.int64),
        "flat_shape": np.array([-1], np.int64),
    }
    nodes = [*_channel_nodes(last=rule.channels_last), *_value_nodes(adds=adds)]
    nodes += [
        _node("Expand", "blank", "shape", to="empty"),
        _node("Reshape", "empty", "flat_shape", to="flat"),
        _node(
            "ScatterElements" if opset >= _ELEMENTS else "Scatter",
            *("flat", "pixel", "part" if adds else "all"),
            to="scattered",
            axis=0,
            **({"reduction": "add"} if adds else {}),
        ),
        _node("Reshape", "scattered", "shape", to="image"),
        helper.make_node("Cast", [f"{_P}image"], [target.name], f"{_P}cast", to=_TYPES[target.dtype]),
    ]
    inputs = [
        helper.make_tensor_value_info(PIXEL, TensorProto.INT32, [f"{_P}entries"]),
        helper.make_tensor_value_info(VALUE, TensorProto.FLOAT, [f"{_P}entries"]),
    ]
    outputs = [helper.make_tensor_value_info(target.name, _TYPES[target.dtype], list(shape))]
    weights = [numpy_helper.from_array(array, f"{_P}{name}") for name, array in constants.items()]
    return helper.make_graph(nodes, f"{_P}front", inputs, outputs, weights)


def _node(kind: str, *inputs: str, to: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(
        kind, [f"{_P}{name}" for name in inputs], [f"{_P}{to}"], f"{_P}{to}", **attributes
    )


def _channel_nodes(*, last: bool) -> list[Any]:
    """Return nodes from the place in the batch to the channel, with operators that all opsets have."""
    place = [] if last else [_node("Div", "pixel", "area", to="plane")]
    return [
        *place,
        _node("Div", "pixel" if last else "plane", "channels", to="whole"),
        _node("Mul", "whole", "channels", to="below"),
        _node("Sub", "pixel" if last else "plane", "below", to="channel"),
    ]


def _value_nodes(*, adds: bool) -> list[Any]:
    """Return nodes for ``x -> 0 if |x| < threshold``, then ``x * scale``, and ``+ offset`` if not added."""
    nodes = [
        _node("Gather", "threshold", "channel", to="least"),
        _node("Abs", "value", to="size"),
        _node("Less", "size", "least", to="small"),
        _node("Where", "small", "nothing", "value", to="kept"),
        _node("Gather", "scale", "channel", to="factor"),
        _node("Mul", "kept", "factor", to="part"),
    ]
    if not adds:  # each pixel occurs once in `Crops`, so that writing is as good as adding
        nodes += [_node("Gather", "offset", "channel", to="base"), _node("Add", "part", "base", to="all")]
    return nodes


def _shape(target: Target, rule: Normalisation) -> tuple[int, int, int, int]:
    b, c, n = target.batch, target.channels, target.size
    return (b, n, n, c) if rule.channels_last else (b, c, n, n)


def length(entries: int, *, few: bool = False) -> int:
    """Return the padded length of a list: at most a quarter longer, and not many different ones.

    With `few`, powers of four: TensorRT builds an engine for each, which takes minutes.
    """
    if entries <= _SHORTEST:
        return _SHORTEST
    if few:
        size = _SHORTEST
        while size < entries:
            size *= 4
        return size
    step = 1 << max((entries - 1).bit_length() - 1 - _QUARTERS.bit_length() + 1, 0)
    return -(-entries // step) * step


def entries(crops: Crops, start: int, stop: int) -> int:
    """Return the number of pixels in the crops start:stop."""
    first, last = crops.offsets[[start * crops.channels, stop * crops.channels]]
    return int(last - first)


def pack(crops: Crops, span: tuple[int, int], rule: Normalisation, pixel: Array, value: Array) -> None:
    """Write the lists of the crops of a half-open span, and zeros to add where the buffers are longer.

    Parameters
    ----------
    pixel : int32, shape (entries,)
        Place in the batch: image, and in it as `rule` lays it out.
    value : float32, shape (entries,)
        As in the frames: not normalised.
    """
    start, stop = span
    offsets = crops.offsets[start * crops.channels : stop * crops.channels + 1 : crops.channels]
    first, count, area = offsets[0], int(offsets[-1] - offsets[0]), crops.size**2
    place = crops.pixel[first : first + count]
    if rule.channels_last:
        channel = place // area
        place = (place - channel * area) * crops.channels + channel
    image = np.arange(stop - start, dtype=np.int32) * np.int32(crops.channels * area)
    np.add(place, np.repeat(image, np.diff(offsets)), out=pixel[:count])
    value[:count] = crops.value[first : first + count]
    # Zeros added to different pixels: one pixel for all of them would be a queue on a GPU.
    pixel[count:] = np.arange(len(pixel) - count, dtype=np.int32) % np.int32(crops.channels * area)
    value[count:] = 0


def fill_up(pixel: Array, value: Array, count: int) -> None:
    """Repeat the first entry behind the last one, for graphs that write: zeros would wipe pixels."""
    if count:
        pixel[count:] = pixel[0]
        value[count:] = value[0]
    else:  # 0 * scale + offset: as blank as before
        pixel[:] = 0
