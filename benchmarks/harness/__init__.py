"""The harness: a contest that anybody can repeat.

lines           what is measured, and against what
entrants        who takes part
materials       on which bytes
server          who hands them out
environments    where each contestant lives
machine         what runs it, and how it is brought to the same state before each run
runner          the rounds
results         medians, ratios, one JSON file
report, chart   what the docs show of it
"""
