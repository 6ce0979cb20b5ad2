//! Digest of a gallery: equal for two galleries with the same templates, in whatever order these were added.

use std::ops::{AddAssign, SubAssign};

use sha2::{Digest, Sha256};

use crate::employee::EmployeeId;
use crate::seal::DataKeyId;

/// Domain separation of the hash.
const DOMAIN: &[u8] = b"likeness roll 1";

/// A sum of hashes, one for each employee and the data key of their template. It detects drift, not forgery.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct GalleryDigest(u128);

impl GalleryDigest {
    /// Returns the digest of a gallery with one employee.
    pub fn of(employee: &EmployeeId, key: DataKeyId) -> Self {
        let digest = Sha256::new().chain_update(DOMAIN).chain_update(key.as_bytes());
        let digest = digest.chain_update(employee.as_str().as_bytes()).finalize();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Self(u128::from_le_bytes(half))
    }
}

impl AddAssign for GalleryDigest {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl SubAssign for GalleryDigest {
    fn sub_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }
}
