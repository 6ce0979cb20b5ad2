"""A Siamese network after Koch et al. 2015 in Keras: trained, exported, and compared with the service.

    KERAS_BACKEND=tensorflow python -m other_encoders.koch --data DATA

Two faces pass one encoder that ends in sigmoids; the head is sigmoid(sum_j weight_j |a_j - b_j| + bias),
trained on pairs. Smaller than Koch's: 56 x 56 gray, strided convolutions, 96 outputs. An interrupted
training resumes; the trained network is stored under --work/koch, and the command then only exports.
--out receives what the service's tests need: the encoder by Keras's own ONNX export, its manifest with
the head, six generated faces with Keras's similarity of each pair, and a two-input network, which the
service must refuse.
"""

import argparse
import itertools
import json
from pathlib import Path

import keras
import numpy as np
import onnxruntime
from keras import layers, ops

from common import manifests
from other_encoders import koch_pairs
from other_encoders.koch_pairs import SIDE

PEOPLE = tuple(f"people/{name}.jpg" for name in ("p01-a", "p01-b", "p02-a", "p02-c", "p03-a", "p04-a"))
PROVENANCE = (
    "A Siamese network after Koch et al. 2015, made by models/train/other_encoders/koch.py in Keras 3 from public collections of faces (CelebA's test part, UTKFace, "
    "Voteview and two mask collections, whose makers allow research use), in pairs by the embeddings of OpenCV Zoo's SFace (Apache-2.0). Only for tests."
)
ROWS_COMMENT = "# Estimated on {} pairs of different people of CelebA's test part who were not trained on; who is who was judged by SFace.\n"


def encoder(widths=(32, 64, 64), length=96):
    """56 x 56 to 14 x 14, 7 x 7 and 4 x 4, which is then weighed place by place."""
    x = face = keras.Input((SIDE, SIDE, 1), name="face")
    for width, kernel, stride in zip(widths, (7, 3, 3), (4, 2, 2)):
        x = layers.Conv2D(width, kernel, strides=stride, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    x = layers.DepthwiseConv2D(x.shape[1], use_bias=False)(x)
    x = layers.Flatten()(x)
    return keras.Model(face, layers.Dense(length, activation="sigmoid", name="embedding")(x), name="encoder")


def networks(encode):
    """The Siamese network of two faces, and, for training, the same with every first face against every second one of a batch."""
    head = layers.Dense(1, activation="sigmoid", name="head")
    first, second = (keras.Input(encode.input_shape[1:], name=name) for name in ("first", "second"))
    a, b = encode(first), encode(second)
    siamese = keras.Model([first, second], head(ops.abs(a - b)), name="siamese")
    crossed = keras.Model([first, second], head(ops.abs(ops.expand_dims(a, 1) - ops.expand_dims(b, 0))), name="crossed")
    return siamese, crossed


def train(crossed, faces, folder, epochs, steps):
    rate = keras.optimizers.schedules.CosineDecay(0.0, epochs * steps, warmup_target=3e-3, warmup_steps=steps // 2)
    crossed.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), "binary_crossentropy", weighted_metrics=["binary_accuracy"])
    resume = keras.callbacks.BackupAndRestore(folder / "resume")
    crossed.fit(koch_pairs.Batches(faces, steps), epochs=epochs, callbacks=[resume], shuffle=False, verbose=2)


def head_of(siamese):
    weights, bias = siamese.get_layer("head").get_weights()
    return weights[:, 0], bias[0]


def scores(vectors, others, weights, bias):
    """The head before its sigmoid, for every vector against every other."""
    return np.stack([np.abs(one - others) @ weights + bias for one in vectors])


def judge(encode, siamese, faces):
    """Accuracy on the people kept back, and FMR -> score from the pairs of different people among them."""
    at = faces.celeb[faces.kept_back]
    vectors = encode.predict(koch_pairs.network_input(faces.pixels[at, 2:-2, 2:-2, None]), batch_size=256, verbose=0)
    person, upper = faces.person[faces.kept_back], np.triu(np.ones((len(at), len(at)), bool), 1)
    score = scores(vectors, vectors, *head_of(siamese))
    same = score[upper & (faces.teacher[at] @ faces.teacher[at].T >= koch_pairs.SAME)]
    strangers = np.sort(score[upper & (person[:, None] != person)])
    found, taken = (same > 0).mean(), (strangers > 0).mean()
    print(f"kept back: {len(np.unique(person))} people, {len(same):,} pairs of one person, {len(strangers):,} of two; at similarity 0.5 "
          f"accuracy at even odds {(found + 1 - taken) / 2:.2%}, missed {1 - found:.2%}, wrong {taken:.2%}")
    rows = []
    for fmr in (1e-2, 1e-3, 1e-4):
        level = np.ceil(float(strangers[-int(fmr * len(strangers))]) * 1e4) / 1e4
        rows.append({"fmr": fmr, "score": float(level)})
        print(f"FMR {fmr:.0e}: score {level:.4f}, found {(same >= level).mean():.2%}")
    return rows, len(strangers)


def export(encode, siamese, rows, strangers, out):
    """encoder.onnx by Keras's own export, and the manifest with the head."""
    path = out / "encoder.onnx"
    encode.export(path, format="onnx", verbose=False)
    run = onnxruntime.InferenceSession(path)
    pattern = koch_pairs.network_input(koch_pairs.grey(manifests.pattern(SIDE, SIDE))[None, :, :, None])
    golden = run.run(None, {run.get_inputs()[0].name: pattern})[0]
    weights, bias = head_of(siamese)
    manifest = {
        "model": {"name": "koch-siamese-1", "sha256": manifests.digest(path), "licence": "see tests/data/LICENSE.md", "provenance": PROVENANCE},
        "input": {"width": SIDE, "height": SIDE, "channels": 1, "layout": "nhwc", "colour": "grey", "mean": [127.5], "scale": 1 / 64},
        "output": {"length": golden.size},
        "comparison": {"kind": "weighted_l1", "weights": manifests.rounded(weights, 9), "bias": manifests.rounded(bias, 9)[0]},
        "error_rate": rows,
        "golden": {"output": manifests.rounded(golden)},
    }
    target = path.with_suffix(".toml")
    manifests.write(target, manifest)
    target.write_text(target.read_text().replace("[[error_rate]]", ROWS_COMMENT.format(f"{strangers:,}") + "[[error_rate]]", 1))
    print(f"{path}: {path.stat().st_size:,} bytes")
    assert path.stat().st_size < 300_000
    return run, manifest["comparison"]


def test_data(siamese, run, head, out):
    """The generated faces and what Keras says of each pair; encoder.onnx with the manifest's head must say the same."""
    faces = koch_pairs.generated(out.parent, PEOPLE)
    pairs, given = list(itertools.combinations_with_replacement(range(len(faces)), 2)), koch_pairs.network_input(faces[..., None])
    a, b = (given[list(side)] for side in zip(*pairs))
    said = siamese.predict([a, b], verbose=0)[:, 0]
    vectors = np.concatenate([run.run(None, {run.get_inputs()[0].name: face[None]})[0] for face in given])
    score = scores(vectors, vectors, np.array(head["weights"]), head["bias"])
    difference = max(abs(1 / (1 + np.exp(-score[i, j])) - s) for (i, j), s in zip(pairs, said))
    print(f"{len(faces)} generated faces, similarities {said.min():.4f} to {said.max():.4f}; "
          f"largest difference between Keras and encoder.onnx with head {difference:.1e}")
    assert difference < 1e-5
    (out / "faces.u8").write_bytes(faces.tobytes())
    rows = [json.dumps({"a": i, "b": j, "similarity": float(s)}) for (i, j), s in zip(pairs, said)]
    (out / "pairs.json").write_text("[\n  " + ",\n  ".join(rows) + "\n]\n")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--work", default=Path("work"), type=Path)
    arguments.add_argument("--out", default=Path("../../tests/data/koch"), type=Path)
    arguments.add_argument("--epochs", default=25, type=int)
    arguments.add_argument("--steps", default=100, type=int, help="batches an epoch")
    chosen = arguments.parse_args()
    keras.utils.set_random_seed(0)
    folder = chosen.work / "koch"
    folder.mkdir(parents=True, exist_ok=True)
    chosen.out.mkdir(parents=True, exist_ok=True)
    faces, encode = koch_pairs.Faces(chosen.data, chosen.work), encoder()
    siamese, crossed = networks(encode)
    if (folder / "siamese.weights.h5").exists():
        siamese.load_weights(folder / "siamese.weights.h5")
    else:
        train(crossed, faces, folder, chosen.epochs, chosen.steps)
        siamese.save_weights(folder / "siamese.weights.h5")
    rows, strangers = judge(encode, siamese, faces)
    run, head = export(encode, siamese, rows, strangers, chosen.out)
    test_data(siamese, run, head, chosen.out)
    tiny = networks(encoder((2, 2, 2), 4))[0]
    tiny([np.zeros((1, SIDE, SIDE, 1), np.float32)] * 2)  # Keras exports a functional network only once it has been called
    tiny.export(chosen.out / "siamese.onnx", format="onnx", verbose=False)
    print(f"{chosen.out / 'siamese.onnx'}: {(chosen.out / 'siamese.onnx').stat().st_size:,} bytes, two inputs, not trained")


if __name__ == "__main__":
    main()
