"""The tests: folders as in the package, claims as sentences."""
