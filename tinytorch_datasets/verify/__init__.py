"""Declared against actual: files, and decoded values."""
