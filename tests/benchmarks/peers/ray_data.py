"""Ray Data: map_batches over ranges of entries, with actors that keep a session."""

import numpy as np

from . import _dense, processes

LABEL, NEEDS, SMALL = "Ray Data, map_batches with actors", ("ray",), False
_threads = [1]


class Actor:
    def __call__(self, batch):
        rows = zip(*(batch[name] for name in ("file", "path", "start", "stop", "tagger")), strict=True)
        done = [processes.entries(int(f), str(p), int(a), int(b), str(t)) for f, p, a, b, t in rows]
        return {"key": np.concatenate([d[0] for d in done]), "score": np.concatenate([d[1] for d in done])}


def start(threads):
    import ray

    _threads[0] = threads
    ray.init(num_cpus=threads, include_dashboard=False, log_to_driver=False, configure_logging=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False


def run(task):
    import ray

    names = ("file", "path", "start", "stop")
    work = [dict(zip(names, one, strict=True)) for one in _dense.ranges(task, _threads[0] * 4)]
    data = ray.data.from_items(
        [one | {"tagger": task["tagger"]} for one in work], override_num_blocks=len(work)
    )
    actors = ray.data.ActorPoolStrategy(size=_threads[0])
    done = data.map_batches(Actor, batch_size=1, compute=actors).to_pandas()
    return _dense.join([(done["key"].to_numpy(), done["score"].to_numpy())])


def stop():
    import ray

    ray.shutdown()
