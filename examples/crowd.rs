//! Makes people up, for figures: an SQL script that fills an empty store of PostgreSQL with so many references of
//! random faces, each sealed as the service seals it.
//!
//!     cargo run --release --example crowd -- MASTER_KEY_FILE COUNT | psql --quiet URL
//!
//! Start the service once before, so that the tables and the key of the audit trail are there.

#[path = "../benches/noise/mod.rs"]
mod noise;

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use likeness::embedding::{Embedding, ModelId};
use likeness::employee::EmployeeId;
use likeness::seal::{MasterKeys, Sealer};
use sha2::{Digest, Sha256};

const MODEL: &[u8] = include_bytes!("../models/encoder.onnx");
const LENGTH: usize = 128;

/// People of one COPY.
const AT_ONCE: u64 = 10_000;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (key, count) = (arguments.next(), arguments.next());
    let key = key.context("the first argument is the master key's file")?;
    let count: u64 = count.context("the second argument is how many people")?.parse()?;
    let masters = MasterKeys::open(Path::new(&key))?.context("there is no such master key")?;
    let (sealer, digest) = (Sealer::new(masters), Sha256::digest(MODEL));
    let model = ModelId::from_digest(digest.into());
    let mut noise = noise::noise(1);
    let mut out = BufWriter::new(std::io::stdout().lock());
    writeln!(out, "insert into likeness.model values ('\\x{}', 'crowd');", hex(&digest))?;
    for start in (0..count).step_by(AT_ONCE as usize) {
        let (mut keys, mut employees, mut templates) = (Vec::new(), Vec::new(), Vec::new());
        for number in start..count.min(start + AT_ONCE) {
            let employee = EmployeeId::parse(&format!("crowd-{number}"))?;
            let face = Embedding::normalize(noise.by_ref().take(LENGTH).collect())?;
            let (key, template) = sealer.seal(&employee, model, &face);
            let (id, employee) = (hex(key.id.as_bytes()), employee.as_str());
            let (master, wrapped) = (hex(key.master.as_bytes()), hex(key.wrapped.as_bytes()));
            let (audit_id, model) = (hex(&u128::from(number).to_be_bytes()), hex(&digest));
            let sealed = hex(template.sealed.as_bytes());
            writeln!(keys, "\\\\x{id}\t\\\\x{master}\t\\\\x{wrapped}")?;
            writeln!(employees, "{employee}\t\\\\x{audit_id}\t0\t\\N")?;
            writeln!(templates, "{employee}\t\\\\x{model}\t\\\\x{id}\t\\\\x{sealed}")?;
        }
        let tables = [
            ("likeness_keys.data_key", keys),
            ("likeness.employee", employees),
            ("likeness.template", templates),
        ];
        for (table, rows) in tables {
            writeln!(out, "copy {table} from stdin;")?;
            out.write_all(&rows)?;
            writeln!(out, "\\.")?;
        }
    }
    writeln!(out, "vacuum analyze;")?;
    Ok(out.flush()?)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
