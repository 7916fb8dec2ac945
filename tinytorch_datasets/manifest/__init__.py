"""The manifest: its reader, its models, its rules."""
