"""Reading CMS event data that is not split, against the same events split, all written by real ROOT.

``python unsplit.py [COPIES] [ROUNDS]`` prints events per second of CPU time, for the columns of eg and of qg,
with either compression that CMSSW uses. It needs the environment ``root`` (tests/environments.py) and a C++
compiler.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import dataset
import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))

import edm_forms

from e2edist.config.tagger import load_tagger
from e2edist.formats import open_events

FORMS = ("split", "object_wise", "member_wise")
CODECS = {"LZMA": 204, "ZSTD": 505}


def repeated(events, copies):
    """Return arrays of events, as `edm_forms.real` gives them, so many times over."""
    found = {}
    for name, values in events.items():
        if name.endswith("_rows"):
            found[name] = np.concatenate([[0], *(values[1:] + i * values[-1] for i in range(copies))])
        else:
            found[name] = np.tile(values, copies)
    return found


def rates(files, tagger, rounds):
    """Return form -> events per second of CPU time of each round, to arrays in memory; forms take turns.

    Files are opened before, as a worker keeps them open for all chunks of a file.
    """
    found = {form: [] for form in files}
    columns, collections = tagger.columns(), tagger.objects.collections
    readers = {form: open_events(str(path), columns, collections) for form, path in files.items()}
    expected = None
    for round_number in range(rounds + 1):  # the first compiles, and warms the disk's cache
        for form, reader in readers.items():
            begin = time.process_time()
            batch = reader.read(0, reader.info.entries)
            seconds = time.process_time() - begin
            if round_number:
                found[form].append(batch.events / seconds)
            expected = expected or batch
            for table, ragged in expected.tables.items():
                for column, values in ragged.columns.items():
                    assert np.array_equal(values, batch[table][column]), (form, table, column)
    for reader in readers.values():
        reader.close()
    return found


def main(copies=10, rounds=5):
    """Write the events, and measure and print."""
    data = dataset.real_events()
    events = repeated(edm_forms.real(data) if data else edm_forms.made(659), int(copies))
    for codec, code in CODECS.items():
        with tempfile.TemporaryDirectory() as folder:
            files = edm_forms.write(edm_forms.compiler(), events, Path(folder), *FORMS, compression=code)
            for name in ("eg", "qg"):
                found = rates(files, load_tagger(name), int(rounds))
                for form, some in found.items():
                    share = median(some) / median(found["split"])
                    size = files[form].stat().st_size / len(events["run"])
                    print(
                        f"{codec} {name} {form:12}{median(some):8.0f} events/s {share:5.2f} {size:6.0f} bytes"
                    )


if __name__ == "__main__":
    main(*sys.argv[1:])
