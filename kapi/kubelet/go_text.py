"""Durations the way Go prints them, because clients see them in messages. Pure."""


def go_duration(seconds: float) -> str:
    """Truncated to milliseconds: `1.234s`, `17ms`, `2m5s`, `0s`."""
    total = int(seconds * 1000)
    if total == 0:
        return "0s"
    if total < 1000:
        return f"{total}ms"
    whole, milliseconds = divmod(total, 1000)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{milliseconds:03d}".rstrip("0") if milliseconds else ""
    text = f"{rest}{fraction}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
