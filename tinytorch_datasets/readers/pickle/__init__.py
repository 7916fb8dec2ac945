"""A bounded reader of pickles that calls nothing."""
