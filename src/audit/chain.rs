//! The chain of MACs, the key that creates them, and its verification.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::CanonicalEvent;
use crate::employee::{AuditId, EmployeeId};

/// Domain separation of the MACs.
const EVENT: &[u8] = b"likeness audit event 1";
const START: &[u8] = b"likeness audit start 1";
const RECEIPT: &[u8] = b"likeness receipt 1";

/// An event and its position in the chain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The event.
    pub event: CanonicalEvent,
    /// Its number and MAC: the head of the chain that ends with it.
    pub head: Head,
}

/// A MAC of an event, which authenticates all previous events too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mac([u8; 32]);

impl Mac {
    /// Reads a stored MAC.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// The head of a chain: its number of events, and the MAC of the last. Written `COUNT:MAC`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// Number of events, dropped ones included.
    pub count: u64,
    /// MAC of the last event.
    pub mac: Mac,
}

impl Head {
    /// The head of the chain without events.
    pub const NONE: Self = Self { count: 0, mac: Mac([0; 32]) };
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.count, self.mac)
    }
}

/// The text is not a head.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a head has the form COUNT:MAC, as in a receipt")]
pub struct InvalidHead;

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let (count, mac) = text.split_once(':').ok_or(InvalidHead)?;
        let bytes = URL_SAFE_NO_PAD.decode(mac).map_err(|_| InvalidHead)?;
        let mac = Mac(bytes.try_into().map_err(|_| InvalidHead)?);
        Ok(Self { count: count.parse().map_err(|_| InvalidHead)?, mac })
    }
}

/// The identifier of a receipt: an audit id, and a MAC that binds it to the employee.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReceiptId {
    audit_id: AuditId,
    mac: Mac,
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.audit_id.as_bytes().as_slice(), &self.mac.0].concat();
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl ReceiptId {
    /// Parses an identifier; [`AuditKey::admits`] verifies it.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (audit_id, mac) = bytes.split_first_chunk()?;
        Some(Self { audit_id: AuditId::from_bytes(*audit_id), mac: Mac(mac.try_into().ok()?) })
    }

    /// Returns the audit id of the erased reference.
    pub fn audit_id(&self) -> AuditId {
        self.audit_id
    }
}

/// The key that authenticates the trail.
#[derive(Clone)]
pub struct AuditKey(Hmac<Sha256>);

impl AuditKey {
    /// Creates the key from its bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        // A key shorter than the hash's block is filled up with zeroes (RFC 2104, section 2).
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        let keyed = Self(Hmac::new(&block.into()));
        block.zeroize();
        keyed
    }

    /// Returns the head of the chain after an event is appended.
    pub(crate) fn extend(&self, head: &Head, event: &CanonicalEvent) -> Head {
        let count = head.count + 1;
        let subject: &[&[u8]] = match &event.subject {
            Some(subject) => &[b"1", subject.as_bytes()],
            None => &[b"0"],
        };
        let start: [&[u8]; 7] = [
            EVENT,
            &head.mac.0,
            &count.to_le_bytes(),
            &event.at.to_le_bytes(),
            event.actor.as_bytes(),
            event.action.as_bytes(),
            event.outcome.as_bytes(),
        ];
        Head { count, mac: self.authenticate(&[&start, subject].concat()) }
    }

    /// Returns the MAC that authenticates the start of a trail: older events, up to this head, were dropped by retention.
    pub(crate) fn start(&self, head: &Head) -> Mac {
        self.authenticate(&[START, &head.count.to_le_bytes(), &head.mac.0])
    }

    /// Returns the identifier of the receipt for an employee's erased reference.
    pub fn receipt(&self, employee: &EmployeeId, audit_id: AuditId) -> ReceiptId {
        let parts = [RECEIPT, audit_id.as_bytes(), employee.as_str().as_bytes()];
        ReceiptId { audit_id, mac: self.authenticate(&parts) }
    }

    /// Returns whether the receipt was issued for this employee.
    pub fn admits(&self, receipt: &ReceiptId, employee: &EmployeeId) -> bool {
        self.receipt(employee, receipt.audit_id).mac.0.ct_eq(&receipt.mac.0).into()
    }

    /// Returns the HMAC-SHA256 of the parts, each prefixed with its length, so that no two lists coincide.
    fn authenticate(&self, parts: &[&[u8]]) -> Mac {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Mac(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey")
    }
}

/// Why the verification of a trail fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Broken {
    /// The chain does not begin where retention ended.
    #[error("the start of the trail was changed: events before event {0} are missing")]
    Start(u64),
    /// A number is missing.
    #[error("event {0} is missing")]
    Missing(u64),
    /// The MAC does not match.
    #[error("event {0} was changed or reordered")]
    Changed(u64),
    /// The chain is shorter than a head that was given.
    #[error(
        "the trail ends with event {ends}, but event {head} was written: the trail was truncated"
    )]
    Cut {
        /// The last event that is there.
        ends: u64,
        /// The event of the head.
        head: u64,
    },
    /// The chain does not lead through a head that was given.
    #[error("event {0} does not match the given head: the trail was rewritten")]
    OtherHead(u64),
}

/// Verifies a trail, event by event.
#[derive(Debug)]
pub struct Verification<'a> {
    key: &'a AuditKey,
    at: Head,
    /// A head that the trail must contain.
    wanted: Option<Head>,
    first: u64,
}

impl<'a> Verification<'a> {
    /// Begins after the head `start`, up to which events were dropped, with its MAC (`None`: no event was dropped
    /// yet). `wanted` is a head that was kept elsewhere.
    ///
    /// # Errors
    /// [`Broken::Start`].
    pub fn begin(
        key: &'a AuditKey,
        start: Option<(Head, Mac)>,
        wanted: Option<Head>,
    ) -> Result<Self, Broken> {
        let at = match start {
            Some((head, mac)) if key.start(&head) == mac => head,
            Some((head, _)) => return Err(Broken::Start(head.count + 1)),
            None => Head::NONE,
        };
        let mut this = Self { key, at, wanted, first: at.count + 1 };
        this.compare_with_wanted()?;
        Ok(this)
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn take(&mut self, entry: &Entry) -> Result<(), Broken> {
        let next = self.key.extend(&self.at, &entry.event);
        if entry.head.count != next.count {
            return Err(Broken::Missing(next.count));
        }
        if entry.head.mac != next.mac {
            return Err(Broken::Changed(next.count));
        }
        self.at = next;
        self.compare_with_wanted()
    }

    /// Returns the head of the trail, and whether `wanted` was compared; it cannot be if its event was dropped.
    ///
    /// # Errors
    /// [`Broken::Cut`].
    pub fn end(self) -> Result<(Head, bool), Broken> {
        match self.wanted {
            Some(head) if head.count > self.at.count => {
                Err(Broken::Cut { ends: self.at.count, head: head.count })
            }
            Some(head) => Ok((self.at, head.count + 1 >= self.first)),
            None => Ok((self.at, true)),
        }
    }

    fn compare_with_wanted(&mut self) -> Result<(), Broken> {
        match self.wanted {
            Some(head) if head.count == self.at.count && head != self.at => {
                Err(Broken::OtherHead(head.count))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::audit::{Action, Actor, Event, Outcome, Subject};

    fn key() -> AuditKey {
        AuditKey::new(&[3; 32])
    }

    fn event(number: u8) -> Event {
        Event {
            at: Timestamp::from_millisecond(1_700_000_000_000 + i64::from(number)).unwrap(),
            actor: Actor::Local,
            action: Action::Verify,
            outcome: if number.is_multiple_of(2) { Outcome::MATCH } else { Outcome::NON_MATCH },
            subject: Some(Subject::Reference(AuditId::from_bytes([number; 16]))),
        }
    }

    fn trail(key: &AuditKey, events: u8) -> Vec<Entry> {
        let mut head = Head::NONE;
        let entries = (1..=events).map(|number| {
            let event = event(number).canonical();
            head = key.extend(&head, &event);
            Entry { event, head }
        });
        entries.collect()
    }

    fn verify(
        entries: &[Entry],
        start: Option<(Head, Mac)>,
        wanted: Option<Head>,
    ) -> Result<(Head, bool), Broken> {
        let key = key();
        let mut verification = Verification::begin(&key, start, wanted)?;
        for entry in entries {
            verification.take(entry)?;
        }
        verification.end()
    }

    #[test]
    fn unchanged_trail_verifies() {
        let trail = trail(&key(), 5);
        assert_eq!(verify(&trail, None, None), Ok((trail[4].head, true)));
        assert_eq!(verify(&trail, None, Some(trail[2].head)), Ok((trail[4].head, true)));
        assert_eq!(verify(&[], None, None), Ok((Head::NONE, true)));
    }

    #[test]
    fn changed_event_is_detected() {
        type Change = fn(&mut CanonicalEvent);
        let changes: [Change; 7] = [
            |event| event.at += 1,
            |event| event.actor.push('x'),
            |event| event.action = "erase".to_owned(),
            |event| event.outcome = "done".to_owned(),
            |event| event.outcome.push_str("; faces=2"),
            |event| event.subject = None,
            // The same letters, split otherwise.
            |event| {
                event.action.push_str(&event.outcome);
                event.outcome.clear();
            },
        ];
        for change in changes {
            let mut trail = trail(&key(), 5);
            change(&mut trail[2].event);
            assert_eq!(verify(&trail, None, None), Err(Broken::Changed(3)));
        }
        assert_eq!(
            verify(&trail(&AuditKey::new(&[4; 32]), 1), None, None),
            Err(Broken::Changed(1)),
            "written under another key"
        );
    }

    #[test]
    fn removed_or_moved_event_is_detected() {
        let whole = trail(&key(), 5);
        let mut without = whole.clone();
        without.remove(2);
        assert_eq!(verify(&without, None, None), Err(Broken::Missing(3)));
        let mut renumbered = without;
        renumbered[2].head.count = 3;
        renumbered[3].head.count = 4;
        assert_eq!(verify(&renumbered, None, None), Err(Broken::Changed(3)));
        let mut swapped = whole.clone();
        swapped.swap(1, 2);
        swapped[1].head.count = 2;
        swapped[2].head.count = 3;
        assert_eq!(verify(&swapped, None, None), Err(Broken::Changed(2)));
        assert_eq!(verify(&whole[1..], None, None), Err(Broken::Missing(1)));
    }

    #[test]
    fn truncation_is_detected_against_a_head() {
        let whole = trail(&key(), 5);
        assert_eq!(verify(&whole[..3], None, None), Ok((whole[2].head, true)));
        let cut = Err(Broken::Cut { ends: 3, head: 5 });
        assert_eq!(verify(&whole[..3], None, Some(whole[4].head)), cut);
        let other = Head { count: 3, mac: Mac([9; 32]) };
        assert_eq!(verify(&whole, None, Some(other)), Err(Broken::OtherHead(3)));
    }

    #[test]
    fn retention_is_distinguished_from_removal() {
        let (key, whole) = (key(), trail(&key(), 5));
        let start = whole[1].head;
        let dropped = Some((start, key.start(&start)));
        assert_eq!(verify(&whole[2..], dropped, None), Ok((whole[4].head, true)));
        assert_eq!(verify(&whole[2..], dropped, Some(whole[1].head)), Ok((whole[4].head, true)));
        assert_eq!(verify(&whole[2..], dropped, Some(whole[0].head)), Ok((whole[4].head, false)));
        let forged = Some((whole[2].head, key.start(&start)));
        assert_eq!(verify(&whole[3..], forged, None), Err(Broken::Start(4)));
        let chained = Some((whole[2].head, whole[2].head.mac));
        assert_eq!(verify(&whole[3..], chained, None), Err(Broken::Start(4)));
    }

    #[test]
    fn receipt_is_valid_only_for_its_employee() {
        let (key, employee) = (key(), |text| EmployeeId::parse(text).unwrap());
        let receipt = key.receipt(&employee("e-1"), AuditId::from_bytes([5; 16]));
        let read = ReceiptId::parse(&receipt.to_string()).unwrap();
        assert_eq!(read, receipt);
        assert!(key.admits(&read, &employee("e-1")));
        assert!(!key.admits(&read, &employee("e-2")));
        let other = ReceiptId { audit_id: AuditId::from_bytes([6; 16]), ..read };
        assert!(!key.admits(&other, &employee("e-1")));
        assert!(!AuditKey::new(&[4; 32]).admits(&read, &employee("e-1")));
        assert_eq!(ReceiptId::parse("AAAA"), None);
    }

    #[test]
    fn head_round_trips() {
        let head = trail(&key(), 3)[2].head;
        assert_eq!(head.to_string().parse(), Ok(head));
        for wrong in ["", "3", "3:", "x:AAAA", ":AAAA"] {
            assert_eq!(wrong.parse::<Head>(), Err(InvalidHead), "{wrong}");
        }
    }
}
