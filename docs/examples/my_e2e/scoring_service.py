"""Engine: a model that runs in a service of our own; each batch of images is sent to it over HTTP.

The service takes the images as float32 bytes and answers with float32 bytes, a row of scores per image.
"""

import urllib.request

import numpy as np

from e2edist.engines.api import ModelError, PluginOptions, model_options


class Options(PluginOptions):
    """The table ``[pools.NAME.engine_options]`` of a site file: what decides no number."""

    #: address of the service
    url: str
    #: seconds to wait for an answer
    timeout_s: float = 30.0


class ModelOptions(PluginOptions):
    """The table ``[model.options]`` of a tagger file: what decides a number, part of its fingerprint."""

    #: version of the model in the service
    version: int


class ScoringService:
    """A client of the service; the threads of a worker share it."""

    def __init__(self, tagger, options):
        own, model = options.own(Options), model_options(tagger, ModelOptions)
        self._address, self._timeout_s = f"{own.url}/models/{model.version}", own.timeout_s
        names = [column for output in tagger.outputs for column in output.columns]
        self.batch = options.batch or tagger.batch
        self.columns = dict.fromkeys(names, "float32")
        self.facts = {"engine": "scoring_service", "provider": "none", "device": self._address}

    def predict(self, images):
        """Return the score columns of a batch of images."""
        try:
            request = urllib.request.Request(self._address, data=np.ascontiguousarray(images).tobytes())
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                scores = np.frombuffer(answer.read(), np.float32).reshape(len(images), len(self.columns))
        except OSError as error:
            # retryable: the service may come back; the chunk is tried again.
            raise ModelError(self._address, f"does not answer ({error})", retryable=True) from error
        return {name: scores[:, i] for i, name in enumerate(self.columns)}


def make(tagger, options):
    """Return the engine."""
    return ScoringService(tagger, options)
