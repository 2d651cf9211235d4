"""The streams of a run as questions are asked of them: rows, charts, logs, and what is new."""
