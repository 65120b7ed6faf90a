"""Reports of comparisons: in the terminal, as CSV, Markdown, JSON and curves, and as an HTML page."""
