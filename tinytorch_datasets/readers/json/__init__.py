"""Readers of JSON: its text, strictly; records in it, fields and values."""
