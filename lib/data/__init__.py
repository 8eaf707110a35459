"""Text in, tokens out: where weights and rows come from, the tasks, the study's own rows."""
