//! Random bytes of the operating system, for keys, identifiers and nonces.

use aes_gcm::aead::Generate;
use zeroize::Zeroizing;

/// Returns random bytes that cannot be predicted, zeroized on drop.
///
/// # Panics
/// If the operating system provides no random numbers.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    Zeroizing::new(<[u8; N]>::generate())
}
