"""Tests of what is shown in notebooks and terminals."""
