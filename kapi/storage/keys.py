"""Key arithmetic shared by the backends: what a prefix covers in byte order."""

_LAST = chr(0x10FFFF)
_BEFORE_SURROGATES, _AFTER_SURROGATES = chr(0xD7FF), chr(0xE000)


def prefix_end(prefix: str) -> str | None:
    """The first key after every key with the prefix; None when nothing comes after them.

    Comparing Python strings and comparing their UTF-8 bytes give the same order, so the answer
    holds for SQLite and etcd too. Surrogates cannot be encoded and are stepped over.
    """
    stem = prefix.rstrip(_LAST)
    if not stem:
        return None
    last = stem[-1]
    following = _AFTER_SURROGATES if last == _BEFORE_SURROGATES else chr(ord(last) + 1)
    return stem[:-1] + following
