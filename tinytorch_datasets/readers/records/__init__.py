"""Readers of records, as JSON has them: text, paths, fields and values."""
