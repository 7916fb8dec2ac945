"""Readers of zip and tar archives: members as bytes, and as a sample each."""
