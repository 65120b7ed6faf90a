"""Making untrusted text, such as names of files, classes and recipes, safe to show."""


def printable(text: str) -> str:
    """`text` on one line, with the control characters of terminals escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def plain_cell(text: str) -> str:
    """The text, marked so that a spreadsheet does not evaluate it as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
