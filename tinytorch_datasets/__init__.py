"""TinyTorch data sets."""
