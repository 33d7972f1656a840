"""Forms that say that they are in an encoding which decodes what none should, or fails."""

ODD_CHARSETS = ("raw_unicode_escape", "utf-7", "undefined", "punycode", "idna", "hex", "utf-16", "latin-1", "none-such")


def odd_form(field: str) -> bytes:
    """A form of one field, with the boundary b, that holds half of a pair of UTF-16 in two encodings."""
    return f'--b\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n\\ud800 +2AA-\r\n--b--\r\n'.encode()
