"""What schemathesis cannot derive from a schema: photos, expiry times in the future, and a choice in a form."""

import base64
from datetime import datetime, timedelta, timezone

import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

from service import PEOPLE

photo = st.sampled_from([photo.read_bytes() for photo in sorted(PEOPLE.glob("p0[1-4]-[ab].jpg"))])
schemathesis.openapi.format("binary", photo)
schemathesis.openapi.format("byte", photo.map(lambda photo: base64.b64encode(photo).decode()))

tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
ends = st.integers(0, 10_000).map(lambda hours: (tomorrow + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ"))
schemathesis.openapi.format("date-time", ends)


@schemathesis.hook
def filter_case(context, case):
    """Leaves out right forms with a photo and a session, or with neither: only the schema of the JSON says that."""
    if case.operation.path not in ("/verify", "/identify") or not isinstance(case.body, dict):
        return True
    if case.meta is not None and case.meta.generation.mode != GenerationMode.POSITIVE:
        return True
    return ("photo" in case.body) != bool(case.body.get("presentation_session"))
