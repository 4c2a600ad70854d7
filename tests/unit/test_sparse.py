"""Images that a graph makes from lists of pixels: the same scores as dense ones, and few bytes."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import onnx
import pytest
from handmade import random_crops
from hypothesis import given, settings
from hypothesis import strategies as st
from models import JETS, write_model, write_tagger

from e2edist.config.tagger import load_tagger
from e2edist.engines import (
    EngineOptions,
    _cuda,
    _io_buffers,
    _session,
    _sparse_graph,
    make_engine,
    score,
    toposort,
)
from e2edist.engines import onnx as engine_module
from e2edist.errors import ModelError
from e2edist.imaging.crops import dense

CHANNELS = [
    {"layer": "EB_energy", "threshold": 0.2, "scale": 0.02, "offset": -0.3},
    {"layer": "EB_time", "threshold": 0.0, "scale": -1.7, "offset": 0.0},
    {"layer": "EB_energy", "threshold": 1e-3, "scale": 25.0, "offset": 1.5},
]


@pytest.fixture
def build(tmp_path):
    """Return a function that writes a model of some opset and its tagger, and loads the tagger."""

    def build(opset=17, changes=None, **model):
        write_model(tmp_path / "m.onnx", **{"channels": 3} | model)
        if opset != 17:
            old = onnx.load(tmp_path / "m.onnx")
            old.opset_import[0].version, old.ir_version = opset, 5
            onnx.save(old, tmp_path / "m.onnx")
        layout = {"model": {"layout": model.get("layout", "NCHW")}, "channels": CHANNELS}
        return load_tagger(str(write_tagger(tmp_path / "t.toml", "m.onnx", **layout | (changes or {}))))

    return build


def scores_of(engine, crops, rule):
    """Return the columns of all crops, and the bytes that were sent."""
    scores = score(engine, crops, rule)
    return scores.columns, scores.bytes_sent


def both(tagger, crops, **options):
    for images in ("dense", "sparse"):
        yield scores_of(
            make_engine(tagger, EngineOptions(images=images, **options)), crops, tagger.normalisation
        )


def assert_same(tagger, crops, **options):
    (full, _), (lists, _) = both(tagger, crops, **options)
    assert full.keys() == lists.keys()
    for name, column in full.items():
        np.testing.assert_array_equal(lists[name], column)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("opset", [16, 17, 18, 21])
def test_scores_are_those_of_dense_images_for_both_layouts_and_every_opset(build, layout, opset):
    tagger = build(opset, layout=layout)
    assert_same(tagger, random_crops(19, seed=opset), batch=4)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_models_of_other_floats_get_the_same_images(build, dtype, layout):
    assert_same(build(dtype=dtype, layout=layout), random_crops(9))


@pytest.mark.parametrize(
    "model",
    [{"batch": 4}, {"outputs": {"a": 2, "b": 0}}, {"twist": "logits"}, {"input_name": "e2e image:0"}],
)
def test_fixed_batches_several_outputs_and_odd_names_are_no_matter(build, model):
    assert_same(build(**model), random_crops(9))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.sampled_from([1, 2, 60, 900]), st.integers(1, 9))
def test_scores_are_the_same_for_any_occupancy_and_batch(tmp_path_factory, seed, objects, most, batch):
    folder = tmp_path_factory.mktemp("any")
    write_model(folder / "m.onnx", channels=3)
    tagger = load_tagger(str(write_tagger(folder / "t.toml", "m.onnx", channels=CHANNELS)))
    assert_same(tagger, random_crops(objects, seed=seed, most=most), batch=batch)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_graph_makes_the_images_of_crops_dense_bit_for_bit(build, layout):
    import onnxruntime

    tagger, crops = build(layout=layout), random_crops(5, seed=3)
    target, rule = _sparse_graph.ImageInput("image", "float32", 5, 3, 32), tagger.normalisation
    model = onnx.helper.make_model(
        _sparse_graph._graph(target, rule),
        opset_imports=[onnx.helper.make_opsetid("", 16)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    loader = _io_buffers.ListLoader(crops, rule)
    pool = _io_buffers.BufferPool(onnxruntime, [session], "cpu", staged=False)
    buffers = pool.acquire(loader.inputs(0, 5))
    loader.fill(buffers, 0, 5)
    buffers.upload()
    np.testing.assert_array_equal(buffers.run()[0], dense(crops, rule))


@pytest.mark.parametrize("opset", [8, 13, 15])
def test_models_older_than_opset_16_are_refused_and_the_sentence_says_how_to_convert_them(build, opset):
    tagger, crops = build(opset), random_crops(19)
    with pytest.raises(ModelError, match="sparse images need opset 16 or newer, it has") as refused:
        make_engine(tagger, EngineOptions(images="sparse"))
    assert 'images = "dense"' in refused.value.todo
    command = re.search(r"onnx\.save\(.*?NEW_PATH\)", refused.value.todo)[0]
    before, _ = scores_of(make_engine(tagger, EngineOptions()), crops, tagger.normalisation)
    path = tagger.model.path
    exec(command, {"onnx": onnx, "PATH": path, "NEW_PATH": path})
    assert onnx.load(path).opset_import[0].version == 17
    for after, _ in both(tagger, crops):
        np.testing.assert_array_equal(after["modelOutput"], before["modelOutput"])


def test_a_batch_with_more_pixels_than_an_index_can_tell_is_refused(build):
    with pytest.raises(ModelError, match=r"more than 2\^31 pixels"):
        make_engine(build(), EngineOptions(images="sparse", batch=10**6))


def test_lists_are_padded_to_few_lengths_and_by_a_quarter_at_most():
    lengths = [_sparse_graph.padded_length(count) for count in range(100_000)]
    assert all(size >= count for count, size in enumerate(lengths))
    assert all(size <= 1.25 * count for count, size in enumerate(lengths) if count > 256)
    assert len(set(lengths)) < 40
    few = [_sparse_graph.padded_length(count, few=True) for count in range(100_000)]
    assert all(count <= size <= max(256, 4 * count) for count, size in enumerate(few))
    assert sorted(set(few)) == [256, 1024, 4096, 16384, 65536, 262144]


def test_a_stream_keeps_its_buffers_and_gives_scores_in_order(build):
    tagger, crops = build(), random_crops(24)
    engine = make_engine(tagger, EngineOptions(images="sparse", batch=8))
    expected, _ = scores_of(engine, crops, tagger.normalisation)
    loader = _io_buffers.ListLoader(crops, tagger.normalisation)
    stream = _io_buffers.BufferedStream(engine._buffers, loader, engine._scores_of, depth=2)
    stream.load(0, 8)
    stream.load(8, 16)
    first = stream.result()["modelOutput"].copy()
    stream.load(16, 24)
    found = np.concatenate([first, *(stream.result()["modelOutput"].copy() for _ in range(2))])
    stream.close()
    np.testing.assert_array_equal(found, expected["modelOutput"])


@pytest.mark.parametrize("images", ["dense", "sparse"])
@pytest.mark.parametrize("sessions", [1, 3])
def test_threads_and_several_sessions_give_the_scores_of_one(build, images, sessions):
    tagger = build()
    crops = [random_crops(20, seed=seed) for seed in range(12)]
    one = make_engine(tagger, EngineOptions())
    alone = [scores_of(one, c, tagger.normalisation)[0]["modelOutput"] for c in crops]
    engine = make_engine(tagger, EngineOptions(images=images, sessions=sessions))
    with ThreadPoolExecutor(4) as pool:
        shared = pool.map(lambda c: scores_of(engine, c, tagger.normalisation)[0]["modelOutput"], crops)
    np.testing.assert_array_equal(list(shared), alone)


def test_dense_buffers_as_on_a_gpu_are_wiped_between_batches(build):
    # What a CUDA provider uses for dense images, here with the CPU's memory as the device.
    tagger, crops = build(), random_crops(30)
    engine = make_engine(tagger, EngineOptions(batch=4))
    expected, _ = scores_of(engine, crops, tagger.normalisation)
    loader = _io_buffers.ImageLoader(crops, tagger.normalisation, "modelInput", (4, 3, 32, 32))
    found = []
    with closing(_io_buffers.BufferedStream(engine._buffers, loader, engine._scores_of, depth=2)) as stream:
        for start in range(0, 30, 4):
            stream.load(start, min(start + 4, 30))
            found.append(stream.result()["modelOutput"].copy())
    np.testing.assert_array_equal(np.concatenate(found)[:30], expected["modelOutput"])


@pytest.fixture
def as_if_cuda(monkeypatch):
    """Let ONNX Runtime's CPU provider stand in for CUDA: all of that path but the device is real."""
    monkeypatch.setitem(_session.PROVIDERS, "cuda", "CPUExecutionProvider")
    monkeypatch.setattr(_session, "_check_device", lambda provider, ort: None)
    monkeypatch.setattr(_session, "provider_settings", lambda options, path: ["CPUExecutionProvider"])
    monkeypatch.setitem(engine_module._MEMORY, "cuda", "cpu")


@pytest.mark.parametrize("images", ["dense", "sparse"])
@pytest.mark.parametrize("sessions", [1, 2])
def test_the_way_of_a_gpu_copies_each_batch_to_buffers_of_the_runtime_and_gives_the_same_scores(
    build, as_if_cuda, images, sessions
):
    tagger, crops = build(), [random_crops(30, seed=seed) for seed in range(6)]
    one = make_engine(tagger, EngineOptions(batch=4))
    alone = [scores_of(one, c, tagger.normalisation)[0]["modelOutput"] for c in crops]
    engine = make_engine(tagger, EngineOptions(provider="cuda", images=images, batch=4, sessions=sessions))
    with closing(engine.open_stream(crops[0], tagger.normalisation)) as stream:
        assert stream.depth == 2  # one batch is loaded while another runs
    with ThreadPoolExecutor(3) as pool:
        shared = pool.map(lambda c: scores_of(engine, c, tagger.normalisation)[0]["modelOutput"], crops)
    np.testing.assert_array_equal(list(shared), alone)
    buffers = [one for free in engine._buffers._free.values() for one in free]
    assert len(buffers) == engine._buffers._made >= 2  # all came back, and whoever came later took them
    assert all(len(one._copies) == len(one.host) for one in buffers)
    assert engine.facts["tf32"] == "off"


def test_pinned_buffers_begin_on_a_page_and_pinning_without_a_driver_is_only_slower():
    array = _cuda.page_aligned((3, 5), "float32")
    assert array.ctypes.data % 4096 == 0
    assert (array.shape, array.dtype, array.sum()) == ((3, 5), np.float32, 0)
    try:
        there = bool(_cuda.find_device())
    except _cuda.DriverError:
        there = False
    array[:] = 7
    assert _cuda.pin(array) is there
    assert array.sum() == 105


@pytest.mark.parametrize("name", ["eg", "qg", "top", "tau"])
def test_the_demo_taggers_score_real_events_alike_and_jets_need_a_twentieth_of_the_bytes(data, name):
    from e2edist.formats import open_events
    from e2edist.worker.images import make_images

    tagger = load_tagger(name)
    for file in ("given_1.root", "given_2.root"):  # 659 events
        with open_events(str(data / "edm" / file), tagger.columns(), tagger.objects.collections) as reader:
            batch = reader.read(0, reader.info.entries)
        crops = make_images(batch, tagger).crops
        assert crops.objects > 300
        (full, sent), (lists, short) = both(tagger, crops)
        for column in full:
            np.testing.assert_array_equal(lists[column], full[column])
        assert sent > (4 if name == "eg" else 20) * short


def test_jets_of_the_demo_size_are_the_same_too(build):
    tagger = build(changes=JETS | {"channels": [{"layer": "ECAL_energy"}] * 3}, size=125)
    assert_same(tagger, random_crops(10, size=125, most=3000), batch=3)


def test_nodes_are_put_behind_those_that_they_need_also_from_inside_a_branch():
    def graph(name, needs):
        out = onnx.helper.make_tensor_value_info(f"{name}_out", onnx.TensorProto.FLOAT, [1])
        node = onnx.helper.make_node("Identity", [needs], [f"{name}_out"])
        return onnx.helper.make_graph([node], name, [], [out])

    node = onnx.helper.make_node
    branches = {"then_branch": graph("then", "b"), "else_branch": graph("else", "a")}
    ordered = [node("Abs", ["x"], ["a"]), node("Neg", ["a"], ["b"]), node("If", ["yes"], ["y"], **branches)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        model = onnx.ModelProto()
        model.graph.node.extend(ordered[i] for i in order)
        assert [n.op_type for n in toposort(model).graph.node] == ["Abs", "Neg", "If"]
    circle = onnx.ModelProto()
    circle.graph.node.extend([node("Abs", ["b"], ["a"]), node("Neg", ["a"], ["b"])])
    assert [n.op_type for n in toposort(circle).graph.node] == ["Abs", "Neg"]
