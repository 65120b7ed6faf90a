"""What evaluations and comparisons look like: in the terminal, as CSV, Markdown, JSON and curves, and as one page."""
