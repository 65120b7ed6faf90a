"""Text that others wrote, such as names of files, classes and recipes, made safe to show."""


def printable(text: str) -> str:
    """`text` on one line; characters that steer a terminal are shown as they would be written in code."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def plain_cell(text: str) -> str:
    """A text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
