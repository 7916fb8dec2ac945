"""What data sets are exported as: a module a kind."""
