"""All figures of a report; the modules beside this one draw them, the numbers come from the others."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl

from .campaign_stats import CampaignStats
from .image_figures import draw_means
from .mean_images import MeanImages
from .scaling import Series
from .scaling_figures import draw_scalability, draw_scaling
from .score_figures import TaggerScores, draw_roc, draw_scores
from .scores import ScoreTable
from .style import STYLE, Drawing
from .time_figures import draw_bill, draw_efficiency, draw_roofline, draw_stages, draw_throughput


def by_tagger(
    campaigns: Sequence[CampaignStats], tables: Sequence[list[ScoreTable]]
) -> dict[str, TaggerScores]:
    """Return tagger -> the scores of all its campaigns; taggers of one name with other scores are others."""
    found: dict[str, TaggerScores] = {}
    known: dict[tuple[str, ...], str] = {}
    for campaign, some in zip(campaigns, tables, strict=True):
        if some:
            key = (campaign.tagger, *(table.column for table in some))
            again = sum(other[0] == key[0] for other in known if other != key)
            name = known.setdefault(key, f"{campaign.tagger}-{again + 1}" if again else campaign.tagger)
            found.setdefault(name, TaggerScores(campaign.classes, {})).tables[campaign.name] = some
    return found


def all_figures(
    campaigns: Sequence[CampaignStats],
    scores: dict[str, TaggerScores],
    mean_images: Sequence[MeanImages],
    scaling: Sequence[Series] = (),
) -> dict[str, Drawing]:
    """Return every figure that these campaigns have something for, by a name that is fit for a file."""
    found: dict[str, Drawing | None] = {}
    with mpl.rc_context(STYLE):
        for tagger, some in scores.items():
            mark = f"-{tagger}" if len(scores) > 1 else ""
            for column in some.columns():
                found[f"score{mark}-{column}"] = draw_scores(some, column)
            found |= {f"{name}{mark}": drawing for name, drawing in draw_roc(some).items()}
        for number, (campaign, images) in enumerate(zip(campaigns, mean_images, strict=True), 1):
            mark = f"-{number}" if len(campaigns) > 1 else ""
            whose = f"{campaign.name}: " if len(campaigns) > 1 else ""
            found |= {f"{name}{mark}": drawing for name, drawing in draw_means(images, whose).items()}
            found[f"roofline{mark}"] = draw_roofline(campaign)
            found[f"workers{mark}"] = draw_efficiency(campaign, nodes=False)
            found[f"nodes{mark}"] = draw_efficiency(campaign, nodes=True)
            found[f"bill{mark}"] = draw_bill(campaign)
        found["stages"] = draw_stages(campaigns)
        taggers = list(dict.fromkeys(campaign.tagger for campaign in campaigns))
        for tagger in taggers:
            mark = f"-{tagger}" if len(taggers) > 1 else ""
            found[f"throughput{mark}"] = draw_throughput([one for one in campaigns if one.tagger == tagger])
        found["scaling"] = draw_scaling(campaigns)
        found["scalability"] = draw_scalability(scaling)
    return {name: drawing for name, drawing in found.items() if drawing is not None}
