"""Imported by the fork server: all that a worker needs, kernels compiled, so that forking one is cheap."""

import e2edist.engines.onnx
import e2edist.formats._reader  # noqa: F401
from e2edist.config.tagger import load_tagger
from e2edist.worker.images import empty_batch, make_images

tagger = load_tagger("eg", None)
batch = empty_batch(tagger.columns())
make_images(batch, tagger)
