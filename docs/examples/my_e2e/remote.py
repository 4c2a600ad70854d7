"""Engine: scores from an inference server, by the protocol of Triton and KServe (version 2, over HTTP)."""

import json
from http.client import HTTPException
from urllib.request import Request, urlopen

import numpy as np

from e2edist.engines.api import Array, EngineOptions, ModelError, PluginOptions, TaggerSpec


class Options(PluginOptions):
    """Where the server is: decides no number."""

    url: str
    timeout_s: float = 30.0


class ModelOptions(PluginOptions):
    """Which model it runs: decides all numbers, so it is part of the tagger's fingerprint."""

    name: str
    version: str = "1"


class RemoteEngine:
    """A client; `predict` is all that an engine must do."""

    def __init__(self, tagger: TaggerSpec, options: EngineOptions) -> None:
        server, model = options.own(Options), options.of_model(tagger, ModelOptions)
        self._url = f"{server.url}/v2/models/{model.name}/versions/{model.version}/infer"
        self._timeout_s, self._input, self._outputs = server.timeout_s, tagger.model.input, tagger.outputs
        self.batch = options.batch or tagger.batch
        self.columns = {column: "float32" for output in tagger.outputs for column in output.columns}
        self.facts = {"engine": "remote", "provider": "remote", "device": server.url}

    def predict(self, images: Array) -> dict[str, Array]:
        tensor = {"name": self._input, "shape": images.shape, "datatype": "FP32"}
        inputs = [tensor | {"data": images.ravel().tolist()}]
        outputs = [{"name": output.name} for output in self._outputs]
        body = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
        try:
            with urlopen(Request(self._url, body), timeout=self._timeout_s) as reply:
                found = {item["name"]: item for item in json.load(reply)["outputs"]}
        except (OSError, HTTPException) as error:
            raise ModelError(self._url, f"the server does not answer ({error})", retryable=True) from error
        tables = [np.array(found[o.name]["data"], np.float32).reshape(len(images), -1) for o in self._outputs]
        return dict(zip(self.columns, np.concatenate(tables, axis=1).T, strict=True))


def make(tagger: TaggerSpec, options: EngineOptions) -> RemoteEngine:
    return RemoteEngine(tagger, options)
