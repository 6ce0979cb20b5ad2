"""Forms as a browser sends them."""

import uuid

BOUNDARY = uuid.uuid4().hex
KIND = f"multipart/form-data; boundary={BOUNDARY}"


def form(fields):
    """A body of the content type KIND: bytes are files, the rest is text."""
    parts = []
    for name, value in fields.items():
        file = '; filename="photo"' if isinstance(value, bytes) else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        parts.append(head.encode() + (value if isinstance(value, bytes) else str(value).encode()) + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
