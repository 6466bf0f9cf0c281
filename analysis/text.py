"""What is done to texts wherever they are shown."""


def capitalized(text: str) -> str:
    """Begin with a capital letter."""
    return text[:1].upper() + text[1:]


def within_script(json: str) -> str:
    """Return JSON such that no text in it ends the <script> around it."""
    return json.replace("<", "\\u003c")


def quoted(text: str) -> str:
    """Return `text` as a string of Vega's expressions."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
