"""Finished campaigns as figures, tables and one page; needs the extra ``report``."""
