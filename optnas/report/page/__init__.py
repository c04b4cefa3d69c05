"""A study as one HTML file that needs nothing else."""

from optnas.report.page.write import write_report

__all__ = ["write_report"]
