"""A small inference server of the protocol that Triton speaks, for the engine of docs/examples."""

import json
import shutil
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import onnxruntime
from plugin_package import announce

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "examples" / "my_e2e" / "remote.py"


def install_example(folder):
    """Install the engine of docs/examples in `folder`, as the plug-in remote."""
    Path(folder).mkdir(exist_ok=True)
    shutil.copy(EXAMPLE, Path(folder) / "remote_engine.py")
    announce(folder, "engines", "remote", "remote_engine", package="remote_engine")


@contextmanager
def serve(model, name="photons", version="3"):
    """Serve an ONNX model; yield the server's address and the list of what was asked of it."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    paths = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            paths.append(self.path)
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != f"/v2/models/{name}/versions/{version}/infer":
                return self.answer(404, {"error": "no such model"})
            (image,) = asked["inputs"]
            values = np.array(image["data"], np.float32).reshape(image["shape"])
            names = [item["name"] for item in asked["outputs"]]
            try:
                found = session.run(names, {image["name"]: values})
            except Exception as error:
                return self.answer(400, {"error": str(error)})
            tables = zip(names, found, strict=True)
            outputs = [{"name": n, "shape": t.shape, "data": t.ravel().tolist()} for n, t in tables]
            return self.answer(200, {"outputs": outputs})

        def answer(self, code, content):
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", paths
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
