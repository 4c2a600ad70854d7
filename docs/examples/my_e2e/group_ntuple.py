"""Format: the flat ntuple of our group, one branch per column, with names of its own.

ECAL hits of barrel and endcaps are in one list; e2edist takes from it what belongs to each.
"""

from e2edist.formats.api import BranchMap, Request, find_columns, table_reader

#: Names that the tree usually has.
TREES = ("evt",)
_ECAL = {"detid": ("ecal_id",), "energy": ("ecal_e",), "time": ("ecal_t",)}
#: Table -> column -> branches it may be in, best first.
NAMES = {
    "EB": _ECAL,
    "EE": _ECAL,
    "HBHE": {"detid": ("hcal_id",), "energy": ("hcal_e",)},
    "photon": {name: (f"pho_{name}",) for name in ("pt", "eta", "phi")} | {"label": ("pho_truth",)},
    "jet": {name: (f"jet_{name}",) for name in ("pt", "eta", "phi")},
}


def detect(names):
    """Return whether a tree with branches of these names is ours."""
    return "ecal_id" in names


def map_branches(request: Request) -> BranchMap:
    """Find the branches for all tables that are asked for; what is missing is noted in the request."""
    branches = request.branches
    return BranchMap(
        tuple(
            table_reader(
                table, columns, find_columns(request, table, columns, NAMES.get(table, {}), branches)
            )
            for table, columns in request.columns.items()
        )
    )
