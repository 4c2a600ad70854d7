"""Names in a campaign's folder. Imports nothing, so that looking at a folder takes no time."""

from __future__ import annotations

PLAN = "plan.json"
#: What is done, what was given up: one JSON object a line.
LEDGER = "ledger.jsonl"
#: Folder of the parts.
PREDICTIONS = "predictions"
#: Folder of what ``aggregate`` makes, unless it is told another.
AGGREGATED = "aggregated"
#: What the jobs occupied, and when: one JSON object a line.
USAGE = "usage.jsonl"
#: Folder of the report.
REPORT = "report"
#: One line per chunk that ended.
LOG = "submit.log"
