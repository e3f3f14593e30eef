"""What a search has learnt, as data and as one HTML page that needs nothing else."""

from automl.report.findings import DECISIONS, Findings, findings
from automl.report.page import page

__all__ = ["DECISIONS", "Findings", "findings", "page"]
