"""Floor 5: finished campaigns as figures, tables and one page; needs the extra ``report``."""
