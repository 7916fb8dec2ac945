"""Tests of what every format shares: decoding and its order, and what clean removes."""
