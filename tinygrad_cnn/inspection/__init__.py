"""Look into a network: explanations, drawings, plots, reports."""
