#!/usr/bin/env bash
# Creates the first corpora from files of this repository: fuzz/seeds.sh DIR
set -euo pipefail
data=$(realpath "$(dirname "$0")/..")
mkdir -p "$1"/{photo,form,manifest,template}
cd "$1"

# Small photos of each kind, with and without metadata.
cp "$data"/tests/data/odd/{animated.webp,baseline.jpg,cmyk.jpg,grey.jpg,lossy.webp,orientation-6.jpg,progressive.jpg} photo/
cp "$data"/tests/data/people/p01-a.jpg "$data"/tests/data/odd/lossless.webp photo/
cp "$data"/tests/data/field/{arithmetic.jpg,lossless.webp,no-end-marker.jpg,three-scans.jpg} photo/
# A black PNG of 32 x 32 pixels with a comment.
base64 -d > photo/black.png << 'PNG'
iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAADXRFWHRDb21tZW50AGJsYWNrWWqyigAAABlJREFUeNrtwTEBAAAAwqD1T+1hDaAAAABuDCAAASEyzewAAAAASUVORK5CYII=
PNG

# A line for the Content-Type header, then the body.
part() { printf -- '--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' "$1" "${3-}" "$2"; }
multipart() { printf 'multipart/form-data; boundary=b\n'; cat; printf -- '--b--\r\n'; }
{ part employee_id e-1; part photo 'not a photo' '; filename="photo"'; part replace true; } | multipart > form/enroll
{ part photo ''; part top 20; } | multipart > form/identify
{ part employee_id e-1; part employee_id e-1; } | multipart > form/twice
printf 'application/json\n{"employee_id": "e-1", "photo": "AAEC", "expires_at": "2030-12-31T18:00:00Z"}' > form/json
printf 'application/json; charset=utf-8\n{"photo": "!", "top": 21, "replace": null}' > form/odd-json
printf 'text/plain\nhello' > form/text

cp "$data"/models/encoder.toml manifest/encoder
cp "$data"/models/detector.toml manifest/detector
cp "$data"/models/landmarks.toml manifest/landmarks
cp "$data"/tests/data/koch/encoder.toml manifest/koch
cp "$data"/tests/data/pad/warmth.toml manifest/pad
printf 'model = "%s"\n[comparison]\nscale = 24.25\noffset = 5.5\n[[error_rate]]\nfmr = 0.01\nscore = 1.25\n[[error_rate]]\nfmr = 0.001\nscore = 3.5\ninterval = [3.25, 4.0]\npairs = 57\n' \
    "$(printf 'ab%.0s' {1..32})" > manifest/calibration
printf 'models = ["%s"]\nlive_photos = 20\n[[threshold]]\nbpcer = 0.05\nscore = 0.5\n[[threshold]]\nbpcer = 0.1\nscore = 1.5\n' \
    "$(printf 'ab%.0s' {1..32})" > manifest/pad-calibration

# An intact template; one flipped bit; truncated and extended ciphertexts; another employee's ID.
printf '\0\0' > template/whole
printf '\0\0\1' > template/bit
printf '\377\1' > template/lengths
printf 'e-1e-1e-\0\0\200\77\0\0\0\300' > template/values
