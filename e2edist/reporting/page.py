"""One self-contained page, and the figures beside it."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import jinja2
import matplotlib as mpl

from e2edist import __version__
from e2edist.storage.publish import publish

from .campaign_stats import CampaignStats
from .mean_images import MeanImages
from .scaling import Series, scaling_rows
from .score_figures import TaggerScores, auc_rows
from .style import STYLE, Drawing
from .tables import bill_rows, count_rows, headline_table, headlines, loss_rows, origin_rows
from .time_figures import time_notes

PAGE = "report.html"
#: Dots per inch of pictures: sharp where a figure of 6.6 inches fills a column of the page.
_DPI = 140
_SHOWN_DPI = 92


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as a page shows it: a data URI, what is said of it, and how many pixels wide it is."""

    section: str
    uri: str
    caption: str
    wide: bool
    width: int


@dataclass(frozen=True, slots=True)
class Content:
    """All that a report tells, besides its figures."""

    campaigns: Sequence[CampaignStats]
    scores: dict[str, TaggerScores]
    mean_images: Sequence[MeanImages]
    module_times: list[list[str]]
    scaling: Sequence[Series] = ()

    def scores_of(self, campaign: CampaignStats) -> TaggerScores | None:
        """Return the scores among which those of a campaign are."""
        return next((some for some in self.scores.values() if campaign.name in some.tables), None)


def save_figures(folder: Path, drawings: dict[str, Drawing]) -> list[Picture]:
    """Write each figure as PNG and PDF; return them for the page."""
    found = []
    for name, drawing in drawings.items():
        for ending in ("pdf", "png"):
            stream = BytesIO()
            with mpl.rc_context(STYLE):
                drawing.figure.savefig(stream, format=ending, dpi=_DPI)
            drawing.figure.set_layout_engine("none")  # once is enough
            with publish(folder / f"{name}.{ending}") as draft:
                draft.write_bytes(stream.getvalue())
        uri = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
        width = round(drawing.figure.get_size_inches()[0] * _SHOWN_DPI)
        found.append(Picture(drawing.section, uri, drawing.caption, drawing.wide, width))
    return found


def write_page(folder: Path, content: Content, pictures: Sequence[Picture]) -> Path:
    """Write ``report.html`` and return its path.

    Raises
    ------
    OutputError
        The folder can't be written.
    """
    source = (files("e2edist.reporting") / "page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    campaigns, several = content.campaigns, len(content.campaigns) > 1
    html = environment.from_string(source).render(
        title=_title(campaigns),
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        version=__version__,
        headlines=[] if several else headlines(campaigns[0], content.scores_of(campaigns[0])),
        headline_table=headline_table(campaigns, [content.scores_of(one) for one in campaigns]),
        warnings=_warnings(campaigns),
        problems=_problems(content),
        images=_problems(content) or any(picture.section == "images" for picture in pictures),
        counts=count_rows(campaigns),
        aucs=[(name, auc_rows(some)) for name, some in content.scores.items()],
        module_times=content.module_times,
        notes=time_notes(campaigns),
        scaling=scaling_rows(content.scaling),
        losses=loss_rows(campaigns),
        origins=[(campaign.name, origin_rows(campaign)) for campaign in campaigns],
        bill=bill_rows(campaigns),
        pictures=pictures,
    )
    with publish(folder / PAGE) as draft:
        draft.write_text(html, encoding="utf-8")
    return folder / PAGE


def _title(campaigns: Sequence[CampaignStats]) -> str:
    taggers = ", ".join(dict.fromkeys(campaign.tagger for campaign in campaigns))
    names = ", ".join(campaign.name for campaign in campaigns)
    return names if names == taggers else f"{taggers}: {names}"


def _warnings(campaigns: Sequence[CampaignStats]) -> list[str]:
    """Return what a reader must know before the numbers."""
    return [
        f"{campaign.name}: {line}"
        for campaign in campaigns
        for line in (*([campaign.demo_note] if campaign.demo_note else []), *campaign.total.warnings)
    ]


def _problems(content: Content) -> list[str]:
    both = zip(content.campaigns, content.mean_images, strict=True)
    return [f"{campaign.name}: {means.problem}" for campaign, means in both if means.problem]
