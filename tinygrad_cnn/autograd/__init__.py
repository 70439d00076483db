"""The tensor, the graph that it records, and the proof of its rules."""
