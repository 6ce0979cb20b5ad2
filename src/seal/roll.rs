//! The roll of who is enrolled with which template: equal for two galleries that hold the same, in whatever order
//! they came to it.

use std::ops::{AddAssign, SubAssign};

use sha2::{Digest, Sha256};

use super::DataKeyId;
use crate::employee::EmployeeId;

/// Set before whatever is digested.
const ROLL: &[u8] = b"likeness roll 1";

/// A sum of digests, one for each employee and the data key of their template; it finds drift, not forgery.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Roll(u128);

impl Roll {
    /// The roll of one employee alone.
    pub fn of(employee: &EmployeeId, key: DataKeyId) -> Self {
        let digest = Sha256::new().chain_update(ROLL).chain_update(key.as_bytes());
        let digest = digest.chain_update(employee.as_str().as_bytes()).finalize();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Self(u128::from_le_bytes(half))
    }
}

impl AddAssign for Roll {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl SubAssign for Roll {
    fn sub_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }
}
