"""Model runtimes, one module each; `api` is what such a module imports.

Engines are not picklable and are made once per process (`open_engine`); the threads of a worker share one,
and `score` runs it.
"""

from ._device_facts import installed_release as installed_release
from ._device_facts import processor as processor
from ._model_io import FLOATS as FLOATS
from ._onnx_graph import inner_graphs as inner_graphs
from ._onnx_graph import toposort as toposort
from ._registry import check_stability as check_stability
from ._registry import close_engines as close_engines
from ._registry import engine_options as engine_options
from ._registry import make_engine as make_engine
from ._registry import open_engine as open_engine
from ._runtime import cpu_session as cpu_session
from ._runtime import first_line as first_line
from ._runtime import runtime as runtime
from ._score import Scores as Scores
from ._score import Step as Step
from ._score import score as score
from ._unstable_nodes import RANDOM as RANDOM
from .api import Engine as Engine
from .api import EngineOptions as EngineOptions
from .api import image_shape as image_shape
