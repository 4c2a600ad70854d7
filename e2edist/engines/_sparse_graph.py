"""Images made on the device: a graph in front of the user's model that takes lists of pixels.

A 125x125x5 jet is 312 kB dense and a few kB as (pixel, value) lists. The graph normalises the values, adds
them to blank images and hands these to the model, whatever its layout and type, so that only the lists go
over the bus. The arithmetic is that of `crops.paint`, value by value, in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from e2edist.errors import ModelError
from e2edist.imaging.crops import Crops, Normalisation
from e2edist.imaging.event_batch import Array

from ._onnx_graph import toposort

#: Names of ours inside the graph can't meet the model's.
_P = "e2edist_"
PIXEL, VALUE = f"{_P}pixel", f"{_P}value"
#: The first opset with a ScatterElements that adds. torch writes 17 and newer, tf2onnx 15 unless told.
_OLDEST_OPSET = 16
_DENSE = 'Set images = "dense".'
_CONVERT = (
    "Convert it: onnx.save(onnx.version_converter.convert_version(onnx.load(PATH), 17), NEW_PATH), and "
    f"validate the new file. Or else: {_DENSE}"
)
_INT32 = 2**31 - 1
_TYPES = {"float32": 1, "float16": 10, "float64": 11}
#: Lists are padded to the next of these lengths: few shapes, so that nothing is tuned or allocated anew.
_QUARTERS, _SHORTEST = 4, 256


@dataclass(frozen=True, slots=True)
class ImageInput:
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

    def shape(self, *, channels_last: bool) -> tuple[int, int, int, int]:
        """Shape of a batch."""
        b, c, n = self.batch, self.channels, self.size
        return (b, n, n, c) if channels_last else (b, c, n, n)


def join_sparse_input(path: str, target: ImageInput, normalisation: Normalisation) -> bytes:
    """Return the model with the graph in front.

    Raises
    ------
    ModelError
        onnx is missing, or the model is older than opset 16 or can't be joined.
    """
    if target.batch * target.channels * target.size**2 > _INT32:
        raise ModelError(path, f"a batch of {target.batch} images has more than 2^31 pixels", "Set batch.")
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ModelError(path, "sparse images need the package onnx", f"Install it. {_DENSE}") from error
    try:
        return _join(path, target, normalisation)
    except ModelError:
        raise
    except Exception as error:  # protobuf's and onnx's errors have no common class
        what = f"can't be joined with sparse images ({str(error).strip().splitlines()[0][:200]})"
        raise ModelError(path, what, _DENSE) from error


def _join(path: str, target: ImageInput, normalisation: Normalisation) -> bytes:
    import onnx
    from onnx import compose

    model = toposort(onnx.load(path))
    imports = {item.domain: item.version for item in model.opset_import if item.domain in {"", "ai.onnx"}}
    domain, opset = next(iter(imports.items()), ("", 0))
    if opset < _OLDEST_OPSET:
        what = f"sparse images need opset {_OLDEST_OPSET} or newer, it has {opset}"
        raise ModelError(path, what, _CONVERT)
    # At the model's own opset: the model stays as it is, not converted.
    front = onnx.helper.make_model(
        _graph(target, normalisation),
        opset_imports=[onnx.helper.make_opsetid(domain, opset)],
        ir_version=model.ir_version,
    )
    joined: Any = compose.merge_models(front, model, io_map=[(target.name, target.name)])
    return bytes(joined.SerializeToString())


def _graph(target: ImageInput, normalisation: Normalisation) -> Any:
    """Return the graph: lists -> normalised values -> blank images + values -> the model's input.

    A value becomes 0 if ``|x| < threshold``, then ``x * scale``, and is added to its channel's offset.
    """
    from onnx import TensorProto, helper, numpy_helper

    last = normalisation.channels_last
    shape = target.shape(channels_last=last)
    constants = {
        "area": np.array(target.size**2, np.int32),
        "channels": np.array(target.channels, np.int32),
        "threshold": normalisation.threshold,
        "scale": normalisation.scale,
        "nothing": np.array(0, np.float32),
        "blank": normalisation.offset.reshape((1, 1, 1, -1) if last else (1, -1, 1, 1)),
        "shape": np.array(shape, np.int64),
        "flat_shape": np.array([-1], np.int64),
    }
    nodes = [
        *_channel_nodes("pixel" if last else "plane"),
        _node("Gather", "threshold", "channel", to="least"),
        _node("Abs", "value", to="size"),
        _node("Less", "size", "least", to="small"),
        _node("Where", "small", "nothing", "value", to="kept"),
        _node("Gather", "scale", "channel", to="factor"),
        _node("Mul", "kept", "factor", to="part"),
        _node("Expand", "blank", "shape", to="empty"),
        _node("Reshape", "empty", "flat_shape", to="flat"),
        _node("ScatterElements", "flat", "pixel", "part", to="scattered", axis=0, reduction="add"),
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


def _channel_nodes(place: str) -> list[Any]:
    """Return nodes from the place in the batch to the channel, by operators that every provider has."""
    return [
        *([_node("Div", "pixel", "area", to="plane")] if place == "plane" else []),
        _node("Div", place, "channels", to="whole"),
        _node("Mul", "whole", "channels", to="below"),
        _node("Sub", place, "below", to="channel"),
    ]


def _node(kind: str, *inputs: str, to: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(
        kind, [f"{_P}{name}" for name in inputs], [f"{_P}{to}"], f"{_P}{to}", **attributes
    )


def padded_length(entries: int, *, few: bool = False) -> int:
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


def entry_count(crops: Crops, start: int, stop: int) -> int:
    """Return the number of pixels in the crops start:stop."""
    first, last = crops.offsets[[start * crops.channels, stop * crops.channels]]
    return int(last - first)


def write_lists(
    crops: Crops, span: tuple[int, int], normalisation: Normalisation, pixel: Array, value: Array
) -> None:
    """Write the lists of the crops of a half-open span, and zeros to add where the buffers are longer.

    Parameters
    ----------
    pixel : int32, shape (entries,)
        Place in the batch: image, and in it as `normalisation` lays it out.
    value : float32, shape (entries,)
        As in the frames: not normalised.
    """
    start, stop = span
    offsets = crops.offsets[start * crops.channels : stop * crops.channels + 1 : crops.channels]
    first, count, area = offsets[0], int(offsets[-1] - offsets[0]), crops.size**2
    place = crops.pixel[first : first + count]
    if normalisation.channels_last:
        channel = place // area
        place = (place - channel * area) * crops.channels + channel
    image = np.arange(stop - start, dtype=np.int32) * np.int32(crops.channels * area)
    np.add(place, np.repeat(image, np.diff(offsets)), out=pixel[:count])
    value[:count] = crops.value[first : first + count]
    # Zeros added to different pixels: one pixel for all of them would be a queue on a GPU.
    pixel[count:] = np.arange(len(pixel) - count, dtype=np.int32) % np.int32(crops.channels * area)
    value[count:] = 0
