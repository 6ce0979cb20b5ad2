"""Values that schemathesis cannot derive from a schema: photos, and expiry times in the future."""

import base64
from datetime import datetime, timedelta, timezone

import schemathesis
from hypothesis import strategies as st

from service import PEOPLE

photo = st.sampled_from([photo.read_bytes() for photo in sorted(PEOPLE.glob("p0[1-4]-[ab].jpg"))])
schemathesis.openapi.format("binary", photo)
schemathesis.openapi.format("byte", photo.map(lambda photo: base64.b64encode(photo).decode()))

tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
ends = st.integers(0, 10_000).map(lambda hours: (tomorrow + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ"))
schemathesis.openapi.format("date-time", ends)
