"""The page of what the formats read, from their tables of labels and branches."""

from markdown_text import codes, numbered, table

from e2edist.formats import delphes, edm, hits, pfnano, rhtree
from e2edist.formats._seeded_objects import SUFFIXES
from e2edist.imaging.event_batch import OBJECT_COLUMNS, TABLES


def branches_page():
    """Return the page."""
    text = "# Branches read\n\nLabels are tried in order; the first that a file has is taken. "
    text += "A tagger file may name others under `[objects.collections]`.\n\n"
    coarse = (_coarse("delphes", delphes, "."), _coarse("pfnano", pfnano, "_"))
    return text + "\n".join((_edm(), _hits(), _rhtree(), *coarse))


def _edm():
    rows = [
        (
            f"`{name}`",
            codes(edm.TYPES[name]),
            codes(labels),
            codes(leaf for names in edm.SUBBRANCHES[name].values() for leaf in names),
        )
        for name, labels in edm.LABELS.items()
    ]
    text = f"## edm\n\n{table(('table', 'types', 'labels', 'leaves'), rows)}"
    return f"{text}\nEvent numbers come from `EventAuxiliary`.\n"


def _hits():
    rows = [
        (
            f"`{shown}`",
            codes(hits.LABELS[name]),
            ", ".join(codes((f"_{one}" for one in hits.names_of(name, c)), " or ") for c in TABLES[name]),
        )
        for shown, name in numbered(hits.LABELS).items()
    ]
    text = f"## hits\n\n{table(('table', 'prefixes', 'columns'), rows)}"
    return f"{text}\n`A+B`: the rows of A, then those of B, in each event. {_event_numbers(hits)}\n"


def _rhtree():
    first, *others = rhtree.LABELS["tracks"]
    rows = [
        (f"`{shown}`", codes(source.name for source in rhtree.IMAGES[name]))
        for shown, name in numbered(rhtree.IMAGES).items()
    ]
    rows += [(f"`{name}`", codes(rhtree.track_branches(name, first))) for name in rhtree.QUANTITIES]
    text = f"## rhtree\n\n{table(('layer', 'branches'), rows)}"
    example = rhtree.track_branches("ECAL_tracksPt", others[0])[0]
    text += f"\nTrack layers are shown for the label `{first}`; the label `{others[0]}` means `{example}` "
    text += f"and so on. These labels are tried too: {codes(others[1:])}.\n\n"
    text += "If a file has none of the branches of `EB_energy`, `SC_energy` is taken.\n\n"
    rows = [
        (f"`{kind}`", codes(labels), codes(rhtree.SEEDS.get(kind, ())))
        for kind, labels in rhtree.LABELS.items()
        if kind != "tracks"
    ]
    text += table(("objects", "labels", "seeds"), rows)
    suffixes = "; ".join(f"{column} {codes(some, ' or ')}" for column, some in SUFFIXES.items())
    return f"{text}\nBehind a label: {suffixes}. {_event_numbers(rhtree)}\n"


def _coarse(name, module, separator):
    objects = {key: column.branches.get(name, (key,))[0] for key, column in OBJECT_COLUMNS.items()}
    rows = [
        (
            f"`{kind}`",
            codes(labels),
            codes(separator + leaf for leaf in module.LEAVES.get(kind, objects).values()),
        )
        for kind, labels in module.LABELS.items()
    ]
    return f"## {name}\n\n{table(('rows', 'labels', 'columns'), rows)}"


def _event_numbers(module):
    numbers = ", ".join(f"{key} from `{name}`" for key, name in module.EVENT_IDS.items())
    return f"Event numbers: {numbers}."
