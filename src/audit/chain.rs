//! The chain of codes, the key that makes them, and whoever follows it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::Words;
use crate::employee::{AuditId, EmployeeId};

/// Set before whatever is authenticated, so that no code of one kind passes for another's.
const EVENT: &[u8] = b"likeness audit event 1";
const START: &[u8] = b"likeness audit start 1";
const RECEIPT: &[u8] = b"likeness receipt 1";

/// An event in its place in the chain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// What happened.
    pub words: Words,
    /// Its number and code: the head of the chain that ends with it.
    pub head: Head,
}

/// What authenticates one event and all before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Code([u8; 32]);

impl Code {
    /// A code as it was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Where a chain ends: how many events it has had, and the code of the last. Written `COUNT:CODE`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// Events from the first one ever on.
    pub count: u64,
    /// The code of the last one.
    pub code: Code,
}

impl Head {
    /// The head of the chain without events.
    pub const NONE: Self = Self { count: 0, code: Code([0; 32]) };
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.count, self.code)
    }
}

/// A text that is no head.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a head has the form COUNT:MAC, as in a receipt")]
pub struct InvalidHead;

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let (count, code) = text.split_once(':').ok_or(InvalidHead)?;
        let bytes = URL_SAFE_NO_PAD.decode(code).map_err(|_| InvalidHead)?;
        let code = Code(bytes.try_into().map_err(|_| InvalidHead)?);
        Ok(Self { count: count.parse().map_err(|_| InvalidHead)?, code })
    }
}

/// What names a receipt, and can be made by nobody else: an audit id and what binds it to the employee.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReceiptId {
    audit_id: AuditId,
    code: Code,
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.audit_id.as_bytes().as_slice(), &self.code.0].concat();
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl ReceiptId {
    /// Reads one; whether it is genuine shows [`AuditKey::admits`].
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (audit_id, code) = bytes.split_first_chunk()?;
        Some(Self { audit_id: AuditId::from_bytes(*audit_id), code: Code(code.try_into().ok()?) })
    }

    /// The audit id of the reference that was erased.
    pub fn audit_id(&self) -> AuditId {
        self.audit_id
    }
}

/// The key that authenticates the trail.
#[derive(Clone)]
pub struct AuditKey(Hmac<Sha256>);

impl AuditKey {
    /// The key of these bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        // A key shorter than the hash's block is filled up with zeroes (RFC 2104, section 2).
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        let keyed = Self(Hmac::new(&block.into()));
        block.zeroize();
        keyed
    }

    /// Where the chain ends once an event is added to it.
    pub(crate) fn extend(&self, head: &Head, words: &Words) -> Head {
        let count = head.count + 1;
        let subject: &[&[u8]] = match &words.subject {
            Some(subject) => &[b"1", subject.as_bytes()],
            None => &[b"0"],
        };
        let start: [&[u8]; 7] = [
            EVENT,
            &head.code.0,
            &count.to_le_bytes(),
            &words.at.to_le_bytes(),
            words.actor.as_bytes(),
            words.action.as_bytes(),
            words.outcome.as_bytes(),
        ];
        Head { count, code: self.authenticate(&[&start, subject].concat()) }
    }

    /// What authenticates that the trail begins behind this head because older events were dropped on time.
    pub(crate) fn start(&self, head: &Head) -> Code {
        self.authenticate(&[START, &head.count.to_le_bytes(), &head.code.0])
    }

    /// The id of the receipt for an employee's erased reference.
    pub fn receipt(&self, employee: &EmployeeId, audit_id: AuditId) -> ReceiptId {
        let parts = [RECEIPT, audit_id.as_bytes(), employee.as_str().as_bytes()];
        ReceiptId { audit_id, code: self.authenticate(&parts) }
    }

    /// Whether a receipt was given for this employee.
    pub fn admits(&self, receipt: &ReceiptId, employee: &EmployeeId) -> bool {
        self.receipt(employee, receipt.audit_id).code.0.ct_eq(&receipt.code.0).into()
    }

    /// HMAC-SHA256 of the parts, each with its length before it, so that no two lists coincide.
    fn authenticate(&self, parts: &[&[u8]]) -> Code {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Code(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey")
    }
}

/// Why a trail is not what was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Broken {
    /// The chain does not begin where retention ended.
    #[error("the start of the trail was changed: events before event {0} are missing")]
    Start(u64),
    /// A number is missing.
    #[error("event {0} is missing")]
    Missing(u64),
    /// The code does not fit.
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

/// Follows a trail from its first event on.
#[derive(Debug)]
pub struct Verification<'a> {
    key: &'a AuditKey,
    at: Head,
    /// A head that the trail must lead through.
    wanted: Option<Head>,
    first: u64,
}

impl<'a> Verification<'a> {
    /// Begins behind `start`, where retention ended, which `code` authenticates (`None`: nothing was dropped
    /// yet); `wanted` is a head that was kept elsewhere.
    ///
    /// # Errors
    /// [`Broken::Start`].
    pub fn begin(
        key: &'a AuditKey,
        start: Option<(Head, Code)>,
        wanted: Option<Head>,
    ) -> Result<Self, Broken> {
        let at = match start {
            Some((head, code)) if key.start(&head) == code => head,
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
        let next = self.key.extend(&self.at, &entry.words);
        if entry.head.count != next.count {
            return Err(Broken::Missing(next.count));
        }
        if entry.head.code != next.code {
            return Err(Broken::Changed(next.count));
        }
        self.at = next;
        self.compare_with_wanted()
    }

    /// The head of the whole trail, and whether the one that was asked for was met; it can't be where it lies
    /// before the first event that is left.
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
            outcome: if number.is_multiple_of(2) { Outcome::Match } else { Outcome::NonMatch },
            subject: Some(Subject::Reference(AuditId::from_bytes([number; 16]))),
        }
    }

    fn trail(key: &AuditKey, events: u8) -> Vec<Entry> {
        let mut head = Head::NONE;
        let entries = (1..=events).map(|number| {
            let words = event(number).words();
            head = key.extend(&head, &words);
            Entry { words, head }
        });
        entries.collect()
    }

    fn verify(
        entries: &[Entry],
        start: Option<(Head, Code)>,
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
    fn a_trail_as_it_was_written_is_whole() {
        let trail = trail(&key(), 5);
        assert_eq!(verify(&trail, None, None), Ok((trail[4].head, true)));
        assert_eq!(verify(&trail, None, Some(trail[2].head)), Ok((trail[4].head, true)));
        assert_eq!(verify(&[], None, None), Ok((Head::NONE, true)));
    }

    #[test]
    fn every_changed_word_shows() {
        type Change = fn(&mut Words);
        let changes: [Change; 6] = [
            |words| words.at += 1,
            |words| words.actor.push('x'),
            |words| words.action = "erase".to_owned(),
            |words| words.outcome = "done".to_owned(),
            |words| words.subject = None,
            // The same letters, split otherwise.
            |words| {
                words.action.push_str(&words.outcome);
                words.outcome.clear();
            },
        ];
        for change in changes {
            let mut trail = trail(&key(), 5);
            change(&mut trail[2].words);
            assert_eq!(verify(&trail, None, None), Err(Broken::Changed(3)));
        }
        assert_eq!(
            verify(&trail(&AuditKey::new(&[4; 32]), 1), None, None),
            Err(Broken::Changed(1)),
            "written under another key"
        );
    }

    #[test]
    fn what_is_taken_out_or_moved_shows() {
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
    fn a_tail_that_was_cut_off_shows_against_a_head_only() {
        let whole = trail(&key(), 5);
        assert_eq!(verify(&whole[..3], None, None), Ok((whole[2].head, true)));
        let cut = Err(Broken::Cut { ends: 3, head: 5 });
        assert_eq!(verify(&whole[..3], None, Some(whole[4].head)), cut);
        let other = Head { count: 3, code: Code([9; 32]) };
        assert_eq!(verify(&whole, None, Some(other)), Err(Broken::OtherHead(3)));
    }

    #[test]
    fn what_retention_dropped_is_told_from_what_somebody_took_out() {
        let (key, whole) = (key(), trail(&key(), 5));
        let start = whole[1].head;
        let dropped = Some((start, key.start(&start)));
        assert_eq!(verify(&whole[2..], dropped, None), Ok((whole[4].head, true)));
        assert_eq!(verify(&whole[2..], dropped, Some(whole[1].head)), Ok((whole[4].head, true)));
        assert_eq!(verify(&whole[2..], dropped, Some(whole[0].head)), Ok((whole[4].head, false)));
        let forged = Some((whole[2].head, key.start(&start)));
        assert_eq!(verify(&whole[3..], forged, None), Err(Broken::Start(4)));
        let chained = Some((whole[2].head, whole[2].head.code));
        assert_eq!(verify(&whole[3..], chained, None), Err(Broken::Start(4)));
    }

    #[test]
    fn a_receipt_is_admitted_for_its_employee_alone() {
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
    fn a_head_is_read_as_it_is_written() {
        let head = trail(&key(), 3)[2].head;
        assert_eq!(head.to_string().parse(), Ok(head));
        for wrong in ["", "3", "3:", "x:AAAA", ":AAAA"] {
            assert_eq!(wrong.parse::<Head>(), Err(InvalidHead), "{wrong}");
        }
    }
}
