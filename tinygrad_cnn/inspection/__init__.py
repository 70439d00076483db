"""Look into a network: explanations, graph drawings, plots, reports."""
