//! Aligns the faces of photos as the service does, for the training scripts: paths on standard input, one a line.
//!
//! For each photo one byte is written, 1 where one face was found; then its landmarks (ten little-endian 32-bit floats,
//! in pixels of the photo) and its aligned face (112 x 112 pixels, RGB).
//!
//!     ls photos/*.jpg | cargo run --release --example align > faces

use std::io::{BufRead, BufWriter, Write};

use likeness::engine::{Engine, EngineOptions};
use likeness::face;
use likeness::photo::{EncodedPhoto, PhotoLimits};

const SIDE: u32 = 112;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let engine = Engine::load(&EngineOptions::embedded(1, 0))?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for path in std::io::stdin().lock().lines() {
        let bytes = bytes::Bytes::from(std::fs::read(path?)?);
        let Ok(found) = engine.extract(&engine.permit()?, bytes.clone(), Vec::new()).await else {
            out.write_all(&[0])?;
            continue;
        };
        let photo = EncodedPhoto::inspect(bytes, &PhotoLimits::default())?.decode()?;
        out.write_all(&[1])?;
        for at in found.face.landmarks() {
            out.write_all(&(at.x as f32).to_le_bytes())?;
            out.write_all(&(at.y as f32).to_le_bytes())?;
        }
        out.write_all(face::align(&photo, &found.face, SIDE, SIDE).pixels().as_raw())?;
    }
    Ok(out.flush()?)
}
