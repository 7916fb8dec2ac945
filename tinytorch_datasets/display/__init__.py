"""Pictures, tables and bars of a data set, in notebooks and in terminals."""
