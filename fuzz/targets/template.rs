//! A template and its data key as they are stored: with anything changed, added or cut off they open for
//! nobody; unchanged they open as what was sealed, for whom it was sealed.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use likeness_fuzz::embedding::{Embedding, ModelId};
use likeness_fuzz::employee::EmployeeId;
use likeness_fuzz::seal::{
    DataKeyId, MasterKey, MasterKeyId, MasterKeys, Sealed, Sealer, Template, WrappedKey,
};

static SEALER: LazyLock<Sealer> =
    LazyLock::new(|| Sealer::new(MasterKeys::one(MasterKey::new(&[7; 32]))));

static SEALED: LazyLock<(WrappedKey, Template)> = LazyLock::new(|| {
    let values = (1_u8..=16).map(f32::from).collect();
    SEALER.seal(&owner(), model(3), &Embedding::raw(values).expect("they are finite"))
});

fn owner() -> EmployeeId {
    EmployeeId::parse("e-1").expect("it is one")
}

fn model(digest: u8) -> ModelId {
    ModelId::from_digest([digest; 32])
}

// The first two bytes lengthen or shorten the ciphertexts, the others turn bits of all that is stored.
fuzz_target!(|data: &[u8]| {
    let Some((&[longer_key, longer_template], mask)) = data.split_first_chunk() else { return };
    let (key, template) = &*SEALED;
    let mut mask = mask.iter().copied();
    let mut bent = |bytes: &[u8], longer: u8| {
        let mut bytes = bytes.to_vec();
        let length = bytes.len().saturating_add_signed(isize::from(longer.cast_signed()));
        bytes.resize(length, 0);
        bytes.iter_mut().for_each(|byte| *byte ^= mask.next().unwrap_or_default());
        bytes
    };
    let id = |bytes: Vec<u8>| DataKeyId::from_bytes(bytes.try_into().expect("as long as before"));
    let bent_key = WrappedKey {
        wrapped: Sealed::from_bytes(bent(key.wrapped.as_bytes(), longer_key)),
        id: id(bent(key.id.as_bytes(), 0)),
        master: MasterKeyId::from_bytes(
            bent(key.master.as_bytes(), 0).try_into().expect("as long as before"),
        ),
    };
    let bent_template = Template {
        sealed: Sealed::from_bytes(bent(template.sealed.as_bytes(), longer_template)),
        key: id(bent(template.key.as_bytes(), 0)),
    };
    let as_sealed = (&bent_key, &bent_template) == (key, template);
    let opened = SEALER.open(&owner(), model(3), &bent_key, &bent_template);
    assert_eq!(opened.is_ok(), as_sealed);

    seal_and_open(data);
});

/// The same bytes as somebody's embedding.
fn seal_and_open(data: &[u8]) {
    let (name, values) = data.split_at(data.len().min(8));
    let Ok(employee) = EmployeeId::parse(&String::from_utf8_lossy(name)) else { return };
    let (values, _) = values.as_chunks::<4>();
    let Ok(embedding) = Embedding::raw(values.iter().map(|v| f32::from_le_bytes(*v)).collect())
    else {
        return;
    };
    let (key, template) = SEALER.seal(&employee, model(3), &embedding);
    assert_eq!(SEALER.open(&employee, model(3), &key, &template), Ok(embedding));
    assert!(SEALER.open(&employee, model(4), &key, &template).is_err());
    assert_eq!(SEALER.open(&owner(), model(3), &key, &template).is_ok(), employee == owner());
}
