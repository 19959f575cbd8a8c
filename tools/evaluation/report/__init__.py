"""What an evaluation leaves behind: metrics.json, report.md, report.html."""
