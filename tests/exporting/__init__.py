"""Tests of exports: what they hold, and what other programs read in them."""
