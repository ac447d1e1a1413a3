"""What a run writes down: the lines of `metrics.jsonl`, and `summary.json`."""

from skerry_train.record.journal import Journal, Summary, full, read_summary, replace, write_summary
from skerry_train.record.lines import (
    Checkpoint,
    Clock,
    End,
    Line,
    Records,
    Session,
    Step,
    Validation,
    finite,
    read_records,
)

__all__ = [
    "Checkpoint",
    "Clock",
    "End",
    "Journal",
    "Line",
    "Records",
    "Session",
    "Step",
    "Summary",
    "Validation",
    "finite",
    "full",
    "read_records",
    "read_summary",
    "replace",
    "write_summary",
]
