"""A seed method is one entry of a table: tagger files may name it, images are cut round what it finds."""

import json
import subprocess
import sys

import pytest

from e2edist.config.tagger import load_tagger
from e2edist.imaging.seed_methods import SEED_METHODS

#: Added before taggers are loaded, as an edit of the table would be: the object's own direction.
_NEW_METHOD = """
import json
import numpy as np
from e2edist.imaging import seed_methods, seeds
from e2edist.imaging.event_batch import EventBatch, Ragged
from e2edist.imaging.geometry import EB_FIRST_ROW, direction_pixels
from e2edist.imaging.layers import LAYERS


def direction(hits, objects, status, *, shift):
    row, col = direction_pixels(objects[1], objects[2])
    return seeds.Seeds(status, row - np.int16(EB_FIRST_ROW - shift), col)


seed_methods.SEED_METHODS["direction"] = seed_methods.SeedMethod(
    "the object's own direction", direction, LAYERS["EB_time"], frame="EB", module="EGFrameProducer",
    eta_limit=1.4, parameters={"shift": seed_methods.Parameter(0, "rows to move it by", least=0, most=5)},
)

from e2edist.config.toml_models import parse
from e2edist.config.tagger import TaggerSpec, load_tagger
from e2edist.errors import ConfigError
from e2edist.worker.images import make_images

eg = load_tagger("eg")
content = eg.model_dump()
content["objects"] |= {"eta_max": 1.4, "kinds": ("photon",)}
content["seed"] = {"method": "direction", "shift": 2}
tagger = parse(TaggerSpec, content, "new")
try:
    parse(TaggerSpec, content | {"seed": {"method": "direction", "shift": 6}}, "new")
    fault = ""
except ConfigError as error:
    fault = str(error)
floats = {name: np.array([value], "f4") for name, value in (("pt", 20), ("eta", 0.01), ("phi", 0.0))}
photon = Ragged(np.array([0, 1]), floats | {"label": np.array([1], "i4")})
hit = {"detid": np.array([0], "u4"), "energy": np.array([1], "f4"), "time": np.array([1], "f4")}
tables = {name: Ragged(np.array([0, 1]), hit) for name in ("EB", "EE", "HBHE")}
images = make_images(EventBatch(0, 1, tables | {"photon": photon}), tagger)
print(json.dumps({
    "eg": eg.fingerprint(),
    "shifts": [parse(TaggerSpec, content | {"seed": {"method": "direction", "shift": n}}, "").fingerprint()
               for n in (1, 2)],
    "seed": [int(images.seeds.status[0]), int(images.seeds.row[0]), int(images.seeds.col[0])],
    "reads": sorted(tagger.columns()["EB"]),
    "fault": fault,
}))
"""


@pytest.fixture(scope="module")
def found():
    run = subprocess.run([sys.executable, "-c", _NEW_METHOD], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_a_new_method_finds_the_seeds_of_a_tagger_that_names_it(found):
    assert found["seed"] == [0, 87, 10]


def test_a_new_method_says_what_is_read_and_which_values_are_allowed(found):
    assert found["reads"] == ["detid", "energy", "time"]
    assert "seed.shift" in found["fault"]
    assert "less than or equal to 5" in found["fault"]


def test_a_new_method_leaves_the_fingerprints_of_other_taggers_and_decides_its_own(found):
    assert found["eg"] == load_tagger("eg").fingerprint()
    assert found["shifts"][0] != found["shifts"][1]


def test_methods_that_share_a_key_share_its_definition():
    seen = {}
    for method in SEED_METHODS.values():
        for key, parameter in method.parameters.items():
            assert seen.setdefault(key, parameter) is parameter
