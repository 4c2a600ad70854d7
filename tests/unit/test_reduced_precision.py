"""Smaller copies of a model."""

import onnx
from models import write_model

from e2edist.parity.reduced_precision import to_int8


def test_nothing_is_written_beside_a_model_that_is_quantised(tmp_path, monkeypatch):
    """ONNX Runtime writes there a file that it deletes again, unless it is given the model itself."""
    (tmp_path / "models").mkdir()
    path = write_model(tmp_path / "models" / "m.onnx")
    infer, written = onnx.shape_inference.infer_shapes_path, []
    monkeypatch.setattr(
        onnx.shape_inference, "infer_shapes_path", lambda a, b: [written.append(b), infer(a, b)]
    )
    assert onnx.load_from_string(to_int8(str(path))).graph.node
    assert written
    assert not [one for one in written if one.startswith(str(tmp_path))]
