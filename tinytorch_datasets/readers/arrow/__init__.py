"""Readers of Parquet and Arrow tables: headers, columns and values."""
