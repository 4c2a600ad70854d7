"""The parity gate: what is the same passes, what is not fails, and the reason says which."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from handmade import random_crops
from models import JETS, write_model
from onnx import TensorProto, helper, numpy_helper

from e2edist.config.tagger import ToleranceSpec, load_tagger, packaged
from e2edist.engines import EngineOptions, make_engine
from e2edist.errors import DeviceError, InputError, ModelError
from e2edist.imaging.crops import dense, take
from e2edist.parity import variants
from e2edist.parity.compare import auc, compare, spearman
from e2edist.parity.float64_reference import float64_scores
from e2edist.parity.frameworks import kind_of
from e2edist.parity.reduced_precision import to_half
from e2edist.parity.reference_objects import ReferenceObjects, from_demo, random_images
from e2edist.parity.reference_scores import Reference, load_reference, reference_path, save_reference
from e2edist.parity.static_checks import FAIL, check_file, weight_digests
from e2edist.parity.target import stand_in
from e2edist.parity.validation_record import (
    find_record,
    require_validation,
    unvalidated_providers,
    write_record,
)
from e2edist.parity.variants import Options
from e2edist.parity.verdict import examine

LIMITS = ToleranceSpec()
LAYERS = [{"layer": "ECAL_energy", "scale": 0.1}, {"layer": "ECAL_tracksPt", "scale": 0.02}]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def eg():
    return from_demo(load_tagger("eg"), 40)


def changed(tagger, tmp_path, change):
    """Return the tagger with a model in which `change` was made."""
    model = onnx.load(tagger.model.path)
    change(model)
    path = tmp_path / "changed.onnx"
    onnx.save(model, path)
    spec = load_tagger(tagger.name, str(path)) if tagger.name in packaged() else None
    return spec or tagger.model_copy(update={"model": tagger.model.model_copy(update={"path": str(path)})})


def verdict(tagger, objects=None, reference=None, **asked):
    return examine(tagger, objects, reference, Options(**asked))


def failing(found):
    return {row.name for row in found.variants if row.outcome == "FAIL"}


# ---- numbers


def test_rank_correlation_and_auc_agree_with_counting_pairs():
    rng = np.random.default_rng(0)
    scores, label = rng.integers(0, 9, 60) / 8, rng.integers(-1, 2, 60)
    pairs = [(a, b) for a in scores[label == 1] for b in scores[label == 0]]
    slow = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)
    assert auc(scores, label) == pytest.approx(slow)
    assert spearman(scores, scores) == pytest.approx(1)
    assert spearman(-scores, scores) == pytest.approx(-1)
    assert spearman(scores, np.ones(60)) is None
    assert auc(scores, np.full(60, -1)) is None


def test_rounding_of_near_ties_is_no_change_of_order_and_a_mass_counts_in_its_own_size():
    truth = np.linspace(0, 1e-6, 50)[:, None]
    noise = truth + np.random.default_rng(1).normal(0, 1e-7, truth.shape)
    assert compare(noise, truth, np.full(50, -1)).faults(LIMITS) == []
    mass = np.linspace(60, 300, 50)[:, None]
    assert compare(mass * (1 + 1e-6), mass, np.full(50, -1)).faults(LIMITS) == []
    assert compare(mass * 1.01, mass, np.full(50, -1)).faults(LIMITS)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_beyond_any_tolerance(bad):
    scores = np.zeros((4, 1))
    broken = scores.copy()
    broken[2] = bad
    loose = ToleranceSpec(max_abs=1e9, max_mean=1e9, min_rank=-1.0, max_auc_shift=1.0)
    assert compare(broken, scores, np.zeros(4)).faults(loose) == ["1 scores are NaN or infinite"]


# ---- what passes


@pytest.mark.parametrize("name", sorted(packaged()))
def test_the_saved_reference_of_each_packaged_model_holds(name):
    tagger = load_tagger(name)
    path = reference_path(tagger.model.path)
    assert path.stat().st_size < 50_000
    found = verdict(tagger, None, load_reference(path, tagger, None))
    assert found.faults == []
    assert max(row.difference.max_abs for row in found.variants if row.difference) < 1e-5
    assert any(check.name == "reference's" for check in found.checks)


def test_onnx_runtime_agrees_with_an_independent_evaluation_in_float64(eg):
    tagger = load_tagger("eg")
    few = ReferenceObjects(eg.images[:6], eg.label[:6], [], "few")
    assert verdict(tagger, None, float64_scores(tagger, few)).faults == []


def test_an_nhwc_model_and_a_fixed_batch_pass(build, tmp_path):
    tagger = build({"model": {"layout": "NHWC"}}, layout="NHWC", batch=4)
    found = verdict(tagger, from_demo(tagger, 10))
    assert found.faults == []
    assert any("fixed batch of 4" in check.why for check in found.checks)


def test_a_reference_survives_its_file(tmp_path, eg):
    tagger = load_tagger("eg")
    scores = np.random.default_rng(0).random((len(eg), 1))
    save_reference(tmp_path / "r.npz", tagger, Reference(eg, scores, {"by": "me"}))
    back = load_reference(tmp_path / "r.npz", tagger, None)
    assert np.array_equal(back.objects.images, eg.images)
    assert np.array_equal(back.scores, scores)
    assert np.array_equal(back.objects.label, eg.label)


# ---- what must fail


def test_one_changed_weight_fails_wherever_it_is(tmp_path):
    tagger = load_tagger("eg")
    path = reference_path(tagger.model.path)
    for number in (0, 7, 20):

        def change(model, number=number):
            weight = [t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT][number]
            values = numpy_helper.to_array(weight).copy()
            values.flat[0] += 1e-3
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))

        other = changed(tagger, tmp_path, change)
        found = verdict(other, None, load_reference(path, other, None))
        assert "reference's: 1 weight tensors are not those of the reference" in found.faults


def test_a_changed_weight_moves_the_scores_beyond_the_tolerance(tmp_path):
    tagger = load_tagger("eg")

    def change(model):
        weight = next(t for t in reversed(model.graph.initializer) if t.data_type == TensorProto.FLOAT)
        values = numpy_helper.to_array(weight).copy()
        values.flat[0] += 0.01
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))

    other = changed(tagger, tmp_path, change)
    found = verdict(other, None, load_reference(reference_path(tagger.model.path), other, None))
    assert "CPU, optimised" in failing(found)


def test_swapped_channels_fail(build):
    changes = JETS | {"channels": LAYERS}
    tagger = build(changes, channels=2, size=125)
    objects = from_demo(tagger, 12)
    reference = float64_scores(tagger, objects)
    path = reference_path(tagger.model.path)
    save_reference(path, tagger, reference)
    assert verdict(tagger, None, load_reference(path, tagger, None)).faults == []
    swapped = tagger.model_copy(update={"channels": tagger.channels[::-1]})
    assert "CPU, e2edist's" in failing(verdict(swapped, None, load_reference(path, swapped, None)))


def test_nhwc_for_nchw_is_refused_by_shape_or_fails_by_scores(build, tmp_path):
    right = build(JETS | {"channels": LAYERS}, channels=2, size=125)
    path = reference_path(right.model.path)
    save_reference(path, right, float64_scores(right, from_demo(right, 12)))
    wrong = right.model_copy(update={"model": right.model.model_copy(update={"layout": "NHWC"})})
    assert "has shape" in verdict(wrong, None, load_reference(path, wrong, None)).refused

    def free(model):
        for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]:
            dim.dim_param = "any"
        # Whatever comes is taken for [batch, 2, 125, 125]: a wrong layout runs without an error.
        shape = numpy_helper.from_array(np.array([-1, 2, 125, 125]), "shape")
        model.graph.initializer.append(shape)
        model.graph.node.insert(0, helper.make_node("Reshape", ["modelInput", "shape"], ["shaped"]))
        model.graph.node[1].input[0] = "shaped"

    loose = changed(right, tmp_path, free)
    save_reference(path, loose, float64_scores(loose, from_demo(loose, 12)))
    assert verdict(loose, None, load_reference(path, loose, None)).faults == []
    turned = loose.model_copy(update={"model": loose.model.model_copy(update={"layout": "NHWC"})})
    found = verdict(turned, None, load_reference(path, turned, None))
    assert not found.refused
    assert "CPU, e2edist's" in failing(found)


def test_an_fp16_overflow_fails_and_only_what_was_asked_for(build, tmp_path):
    tagger = build()
    objects = from_demo(tagger, 10)

    def large(model):
        values = numpy_helper.to_array(model.graph.initializer[0]) * np.float32(1e6)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "filters"))
        weight = next(t for t in model.graph.initializer if t.name == "w_modelOutput")
        weight.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1e-6), weight.name)
        )

    loud = changed(tagger, tmp_path, large)
    found = verdict(loud, objects, fp16=True)
    assert found.faults == []
    assert any(line.startswith("CPU, fp16: ") for line in found.failed_requests)
    reference = float64_scores(loud, objects)
    half = tmp_path / "half.onnx"
    onnx.save(to_half(loud.model.path), half)
    small = loud.model_copy(update={"model": loud.model.model_copy(update={"path": str(half)})})
    assert verdict(small, None, reference).faults


def test_a_graph_that_looks_at_its_neighbours_fails(build, tmp_path, eg):
    tagger = build()

    def centre(model):
        """Subtract the mean over the batch, as a batch normalisation left in training mode does."""
        nodes = model.graph.node
        place = next(i for i, node in enumerate(nodes) if node.op_type == "MatMul")
        nodes.insert(place, helper.make_node("ReduceMean", ["row"], ["mean"], axes=[0], keepdims=1))
        nodes.insert(place + 1, helper.make_node("Sub", ["row", "mean"], ["centred"]))
        nodes[place + 2].input[0] = "centred"

    other = changed(tagger, tmp_path, centre)
    found = verdict(other, eg)
    assert {"CPU, shuffled", "CPU, optimised", "CPU, e2edist's"} <= failing(found)
    assert "CPU, batch 1" not in failing(found)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_fails(build, tmp_path, value):
    def spoil(model):
        values = numpy_helper.to_array(model.graph.initializer[0]).copy()
        values.flat[3] = value
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "filters"))

    other = changed(build(), tmp_path, spoil)
    assert any("NaN or infinity in filters" in fault for fault in verdict(other, random(10)).faults)


def random(count):
    return random_images((1, 32, 32), count)


def test_static_faults_are_named(build, tmp_path):
    path = tmp_path / "odd.onnx"
    model = onnx.load(build().model.path)
    model.opset_import.append(helper.make_opsetid("my.domain", 1))
    model.graph.node.append(helper.make_node("Magic", ["row"], ["spell"], domain="my.domain"))
    model.graph.node.append(helper.make_node("RandomNormalLike", ["row"], ["noise"]))
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    checks = {check.name: check for check in check_file(str(path), "0" * 64)}
    assert (checks["external data"].found, checks["external data"].status) == ("w.bin", "note")
    bad = {name: check.why for name, check in checks.items() if check.status == FAIL}
    assert bad.keys() == {"operators", "randomness"}
    assert "Magic" in bad["operators"]


def test_a_file_that_is_no_model_is_refused_with_that_reason(tmp_path, build):
    tagger = build()
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"\x89PNG\r\n not a model")
    spec = tagger.model_copy(update={"model": tagger.model.model_copy(update={"path": str(junk)})})
    assert "ONNX" in verdict(spec, random(4)).refused


def external(model, path):
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    return path.with_name("w.bin")


def lost(model, path):
    external(model, path).unlink()


def cut(model, path):
    weights = external(model, path)
    weights.write_bytes(weights.read_bytes()[:-100])


def short(model, path):
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-8]
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lost, r"its weights lie in a file that is missing: .*w\.bin\. Put that file beside the model"),
        (cut, r"the file with its weights is too short: "),
        (short, r"it is damaged, a weight is too short: filters\. Copy or export it again"),
    ],
)
def test_a_damaged_model_is_told_by_its_damage_to_whoever_opens_it(build, tmp_path, damage, why, capfd):
    tagger, reference = build(), random(4)
    truth = float64_scores(tagger, reference)
    prints = weight_digests(tagger.model.path)
    path = tmp_path / "damaged.onnx"
    damage(onnx.load(tagger.model.path), path)
    spec = tagger.model_copy(update={"model": tagger.model.model_copy(update={"path": str(path)})})
    found = verdict(spec, None, replace(truth, weights=prints))
    assert re.search(why, found.refused)
    for opening in (lambda: stand_in(path), lambda: make_engine(spec, EngineOptions())):
        with pytest.raises(ModelError, match=why):
            opening()
    assert capfd.readouterr() == ("", "")  # the runtime's own log says the same, in red


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_dense_images_of_a_reference_go_through_the_sparse_graph_too(build, layout):
    channels = {"channels": [{"layer": "EB_energy", "scale": 0.02, "offset": 0.5, "threshold": 0.1}] * 2}
    tagger = build(channels | {"model": {"layout": layout}}, channels=2, layout=layout)
    images = random_images((2, 32, 32) if layout == "NCHW" else (32, 32, 2), 11)
    found = verdict(tagger, None, float64_scores(tagger, images))
    (row,) = (row for row in found.variants if row.name == "CPU, sparse images")
    assert (row.outcome, row.facts["images"]) == ("pass", "sparse")
    assert found.faults == []


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (ModelError("m.onnx", "fails on a batch of 8: no kernel for ScatterElements"), "FAIL"),
        (DeviceError("CUDAExecutionProvider", "no NVIDIA driver on this machine"), "not run"),
    ],
)
def test_what_fails_on_a_device_that_is_there_is_a_failure_and_a_missing_device_is_none(
    build, monkeypatch, error, word
):
    def make(tagger, options):
        if options.provider == "cuda":
            raise error
        return make_engine(tagger, options)

    gpu = SimpleNamespace(get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(variants, "make_engine", make)
    monkeypatch.setattr(variants, "runtime", lambda: gpu)
    found = verdict(build(), random(10))
    words = {row.name: row.outcome for row in found.variants if row.name.startswith("CUDA")}
    assert words["CUDA"] == word
    assert bool(found.faults) == (word == "FAIL")
    asked = verdict(build(), random(10), tf32=True)
    assert any(line.startswith("CUDA, TF32: ") for line in asked.failed_requests)


# ---- files of people


def test_scores_with_images_and_scores_alone_are_references(tmp_path, build):
    tagger, objects = build(), random(6)
    truth = float64_scores(tagger, objects).scores
    np.savez(tmp_path / "both.npz", images=objects.images, scores=truth[:, 0])
    assert verdict(tagger, None, load_reference(tmp_path / "both.npz", tagger, None)).faults == []
    np.savez(tmp_path / "alone.npz", scores=truth)
    assert verdict(tagger, None, load_reference(tmp_path / "alone.npz", tagger, objects)).faults == []
    with pytest.raises(InputError, match="has scores and no images"):
        load_reference(tmp_path / "alone.npz", tagger, None)
    np.savez(tmp_path / "wide.npz", images=objects.images, scores=np.zeros((6, 3)))
    with pytest.raises(InputError, match="3 scores an object, the model gives 1: modelOutput"):
        verdict(tagger, None, load_reference(tmp_path / "wide.npz", tagger, None))
    (tmp_path / "junk.npz").write_bytes(b"junk")
    with pytest.raises(InputError, match="can't be read as a reference"):
        load_reference(tmp_path / "junk.npz", tagger, None)


def test_crops_and_channels_are_taken_in_any_order():
    crops, rows, order = random_crops(7, channels=3, size=8), [4, 0, 4, 6], [2, 0]
    np.testing.assert_array_equal(dense(take(crops, rows)), dense(crops)[rows])
    np.testing.assert_array_equal(dense(take(crops, rows, order)), dense(crops)[rows][:, order])
    assert take(crops, []).objects == 0


def test_channels_are_found_by_the_names_of_their_layers():
    tagger = load_tagger("qg")
    crops = from_demo(tagger, 3).crops
    back = take(take(crops, range(3), [2, 0, 1]), range(3), [1, 2, 0])
    assert np.array_equal(back.offsets, crops.offsets)
    assert np.array_equal(back.pixel, crops.pixel)
    assert np.array_equal(back.value, crops.value)


def test_verdicts_are_kept_by_model_and_tagger(build):
    tagger = build()
    assert find_record(tagger) is None
    assert require_validation(tagger, accept=False) == "none"
    path = write_record(tagger, {"passed": False, "faults": ["too far"], "when": "today"})
    assert path.name.endswith(".verdict.json")
    with pytest.raises(ModelError, match=r"failed validation on today: too far .*--accept-failed-validation"):
        require_validation(tagger, accept=False)
    assert require_validation(tagger, accept=True) == "failed today, accepted: too far"
    other = tagger.model_copy(update={"endcap_factor": 2.0})
    assert find_record(other) is None
    write_record(tagger, {"passed": True, "faults": [], "when": "later"})
    assert require_validation(tagger, accept=False) == "passed later, compared with itself only"


def test_a_verdict_tells_submit_on_which_providers_it_was_reached(build):
    tagger = build()
    content = verdict(tagger, random(6)).content()
    write_record(tagger, content)
    said = f"passed {content['when']} on CPUExecutionProvider, compared with itself only"
    assert require_validation(tagger, accept=False) == said
    assert unvalidated_providers(tagger, ["cpu", "cpu"]) == []
    (line,) = unvalidated_providers(tagger, ["cpu", "cuda"])
    assert line.startswith("the model has not been validated on CUDA: run python -m e2edist.validate")
    content["variants"].append({"verdict": "pass", "facts": {"provider": "CUDAExecutionProvider"}})
    write_record(tagger, content)
    assert unvalidated_providers(tagger, ["cpu", "cuda"]) == []


def test_a_failure_against_a_reference_is_not_undone_by_a_look_in_the_mirror(build):
    tagger = build()
    failed = {"passed": False, "faults": ["1 weight changed"], "when": "today", "independent": True}
    path = write_record(tagger, failed)
    mirror = {"passed": True, "faults": [], "when": "later", "independent": False}
    assert write_record(tagger, mirror) == path
    with pytest.raises(ModelError, match="1 weight changed"):
        require_validation(tagger, accept=False)
    write_record(tagger, mirror | {"independent": True})
    assert require_validation(tagger, accept=False) == "passed later"


def test_a_verdict_that_can_not_be_read_is_not_taken_for_none(build):
    tagger = build()
    path = write_record(tagger, {"passed": False, "faults": ["too far"], "when": "today"})
    path.write_text(path.read_text()[:20])
    with pytest.raises(ModelError, match=r"failed validation: the record .* can't be read \(JSONDecodeError"):
        require_validation(tagger, accept=False)
    assert write_record(tagger, {"passed": True, "faults": [], "when": "later"}) == path
    assert require_validation(tagger, accept=False).startswith("passed later")


def test_verdicts_on_packaged_models_lie_in_the_cache_of_the_user(tmp_path):
    path = write_record(load_tagger("eg"), {"passed": True, "faults": [], "when": "now"})
    assert path.is_relative_to(tmp_path / "cache")


# ---- models without a tagger, sources


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"twist": "rank2"}, "not a batch of images"),
        ({"twist": "two_inputs"}, "has 2 inputs"),
    ],
)
def test_a_model_that_takes_no_images_is_refused_with_its_inputs(tmp_path, model, reason):
    path = write_model(tmp_path / "m.onnx", **model)
    with pytest.raises(ModelError, match=reason):
        stand_in(path)


def test_a_model_alone_gets_images_of_its_own_shape(tmp_path):
    spec = stand_in(write_model(tmp_path / "m.onnx", channels=3, size=20, layout="NHWC"))
    assert (spec.model.layout, len(spec.channels), spec.crop.size) == ("NHWC", 3, 20)
    assert verdict(spec, random_images((20, 20, 3), 5)).faults == []


def test_sources_are_told_apart(tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    for name in ("a.pt", "a.keras", "a.pb"):
        (tmp_path / name).touch()
    kinds = [kind_of(str(tmp_path / name)) for name in ("saved", "a.pt", "a.keras", "a.pb")]
    assert [*kinds, kind_of("my.module:Net")] == ["savedmodel", "torchscript", "keras", "frozen", "torch"]
    with pytest.raises(ModelError, match="there is no such file"):
        kind_of("missing.pt")
    with pytest.raises(ModelError, match="is not a source of a model"):
        kind_of("model.xyz")


@pytest.mark.parametrize(
    "content",
    [
        {"scores": np.array(["a", "b"])},
        {"scores": np.float32(1.0)},
        {"scores": np.zeros(2), "facts": np.array("{bad"), "images": np.zeros((2, 1, 32, 32), "f4")},
        {"scores": np.zeros(2), "label": np.zeros(1), "images": np.zeros((2, 1, 32, 32), "f4")},
        {"scores": np.zeros(2), "steps": np.zeros(3)},
        {"scores": np.zeros((0, 1)), "images": np.zeros((0, 1, 32, 32), "f4")},
        {"scores": np.array([0.5, np.nan]), "images": np.zeros((2, 1, 32, 32), "f4")},
        {"scores": np.zeros(2), "images": np.zeros((2, 1, 30, 30), "f4")},
        {"scores": np.zeros(2), "images": np.zeros((2, 32, 32), "f4")},
    ],
)
def test_a_malformed_reference_is_the_users_mistake(tmp_path, content):
    np.savez(tmp_path / "r.npz", **content)
    with pytest.raises(InputError, match=r"r\.npz"):
        load_reference(tmp_path / "r.npz", load_tagger("eg"), None)
