//! The store against real files.

use std::path::Path;

use jiff::Timestamp;

use super::*;
use crate::audit::{Action, Actor, Broken, Event, Outcome, Subject};
use crate::embedding::ModelId;
use crate::employee::{AuditId, EmployeeId, ModelName, Reference};
use crate::seal::{DataKeyId, MasterKey, MasterKeyId, MasterKeys, Sealed, Template, WrappedKey};

fn masters() -> MasterKeys {
    MasterKeys::one(MasterKey::new(&[1; 32]))
}

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("likeness.db"), &masters()).await.unwrap();
    (folder, store)
}

fn audit_id(employee: &str, model: u8) -> AuditId {
    let mut id = [model; 16];
    id.iter_mut().zip(employee.bytes()).for_each(|(to, from)| *to = from);
    AuditId::from_bytes(id)
}

fn reference(employee: &str, model: u8) -> Reference {
    Reference {
        employee: EmployeeId::parse(employee).unwrap(),
        audit_id: audit_id(employee, model),
        enrolled_at: Timestamp::from_millisecond(1_700_000_000_123).unwrap(),
        expires_at: None,
        model: ModelName {
            name: format!("model {model}").into(),
            id: ModelId::from_digest([model; 32]),
        },
    }
}

/// A data key and a template that can be told from others, and found in a file.
fn sealed(marker: &str) -> (WrappedKey, Template) {
    let mut id = [0; 16];
    id.iter_mut().zip(marker.bytes()).for_each(|(to, from)| *to = from);
    let id = DataKeyId::from_bytes(id);
    let bytes = |text: String| Sealed::from_bytes(text.repeat(20).into_bytes());
    let master = MasterKeyId::from_bytes([0; 8]);
    let key = WrappedKey { id, master, wrapped: bytes(format!("key-of-{marker}")) };
    (key, Template { key: id, sealed: bytes(marker.to_owned()) })
}

async fn enroll(store: &Store, reference: &Reference, marker: &str, replace: bool) -> Enrolled {
    let (key, template) = sealed(marker);
    store.enroll(reference, &key, &template, replace, &Actor::Local).await.unwrap()
}

/// Data keys of templates.
async fn keys_held(store: &Store) -> u64 {
    store.count_data_keys().await.unwrap() - 1
}

async fn erase(store: &Store, employee: &EmployeeId) -> Option<Receipt> {
    store.erase(employee, &Actor::Operator, Timestamp::UNIX_EPOCH).await.unwrap()
}

#[tokio::test]
async fn a_reference_comes_back_as_it_was_stored() {
    let (_folder, store) = store().await;
    let ada = reference("ada", 1);
    assert_eq!(store.find(&ada.employee).await.unwrap(), None);
    assert_eq!(enroll(&store, &ada, "ada", false).await, Enrolled::New);
    assert_eq!(store.find(&ada.employee).await.unwrap(), Some(ada.clone()));
    let (key, template) = sealed("ada");
    assert_eq!(store.templates(ada.model.id).await.unwrap(), [(ada.employee, template, None)]);
    assert_eq!(store.data_keys().await.unwrap()[&key.id], key);
    assert_eq!(store.models().await.unwrap(), [(ada.model, 1)]);
}

#[tokio::test]
async fn a_second_enrolment_changes_nothing_unless_it_replaces() {
    let (_folder, store) = store().await;
    let (first, second) = (reference("ada", 1), reference("ada", 2));
    enroll(&store, &first, "1", false).await;
    assert_eq!(enroll(&store, &second, "2", false).await, Enrolled::Kept);
    assert_eq!(store.find(&first.employee).await.unwrap(), Some(first.clone()));
    assert_eq!(enroll(&store, &second, "2", true).await, Enrolled::Replaced);
    assert_eq!(store.templates(first.model.id).await.unwrap(), []);
    assert_eq!(store.models().await.unwrap(), [(second.model, 1)]);
    assert_eq!(keys_held(&store).await, 1);
}

#[tokio::test]
async fn employees_are_listed_in_order_page_by_page() {
    let (_folder, store) = store().await;
    for employee in ["c", "a", "B", "b"] {
        enroll(&store, &reference(employee, 1), employee, false).await;
    }
    let names = |page: Vec<Reference>| {
        page.iter().map(|r| r.employee.as_str().to_owned()).collect::<Vec<_>>()
    };
    let first = store.list(None, 3).await.unwrap();
    let last = first.last().unwrap().employee.clone();
    assert_eq!(names(first), ["B", "a", "b"]);
    assert_eq!(names(store.list(Some(&last), 3).await.unwrap()), ["c"]);
}

#[tokio::test]
async fn an_erased_or_replaced_template_is_in_no_file_any_more() {
    let (folder, store) = store().await;
    let ada = reference("ada", 1);
    enroll(&store, &reference("bob", 1), "stays-here", false).await;
    enroll(&store, &ada, "first-photo", false).await;
    enroll(&store, &ada, "second-photo", true).await;
    assert!(!on_disk(folder.path(), "first-photo"));
    assert!(erase(&store, &ada.employee).await.unwrap().wholly);
    assert_eq!(erase(&store, &ada.employee).await, None);
    assert!(!on_disk(folder.path(), "second-photo"));
    assert!(on_disk(folder.path(), "stays-here"), "the search itself finds what is there");
    assert!(on_disk(folder.path(), "key-of-stays-here"));
}

#[tokio::test]
async fn erasing_waits_for_a_foreign_reader_and_says_so() {
    let (folder, store) = store().await;
    let ada = reference("ada", 1);
    enroll(&store, &ada, "a-photo", false).await;
    let mut reader = store.data.readers.begin().await.unwrap();
    sqlx::query("select * from template").fetch_all(&mut *reader).await.unwrap();
    let receipt = erase(&store, &ada.employee).await.unwrap();
    assert!(!receipt.wholly);
    assert_eq!(keys_held(&store).await, 0);
    assert!(on_disk(folder.path(), "a-photo"), "the reader holds it, sealed, and its key is gone");
    assert!(!on_disk(folder.path(), "key-of-a-photo"));
    assert!(!store.wipe_leftovers().await);
    assert_eq!(store.receipt(&ada.employee, receipt.id).await.unwrap(), Some(receipt.clone()));
    drop(reader);
    let wholly = Receipt { wholly: true, ..receipt };
    assert_eq!(store.receipt(&ada.employee, wholly.id).await.unwrap(), Some(wholly));
    assert!(!on_disk(folder.path(), "a-photo"));
}

#[tokio::test]
async fn a_key_whose_template_was_never_stored_is_swept() {
    let (folder, store) = store().await;
    enroll(&store, &reference("bob", 1), "stays", false).await;
    let (orphan, _) = sealed("orphan");
    data_keys::insert(&store.keys, &orphan).await.unwrap();
    assert!(on_disk(folder.path(), "key-of-orphan"));
    assert!(store.wipe_leftovers().await);
    assert!(!on_disk(folder.path(), "key-of-orphan"));
    assert_eq!(keys_held(&store).await, 1);
}

fn on_disk(folder: &Path, marker: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
    })
}

#[tokio::test]
async fn a_row_that_cannot_be_ours_names_itself() {
    let (_folder, store) = store().await;
    let ada = reference("ada", 1);
    enroll(&store, &ada, "x", false).await;
    sqlx::query("update employee set enrolled_at = 9223372036854775807")
        .execute(&store.data.writer)
        .await
        .unwrap();
    let error = store.find(&ada.employee).await.unwrap_err().to_string();
    assert_eq!(error, "the database is inconsistent: employee.enrolled_at of ada");
}

/// What was written, action and subject.
async fn trail(store: &Store) -> Vec<(String, Option<String>)> {
    let events = store.events(1).await.unwrap();
    events.into_iter().map(|entry| (entry.words.action, entry.words.subject)).collect()
}

#[tokio::test]
async fn whatever_changes_is_in_the_trail_and_names_nobody() {
    let (_folder, store) = store().await;
    let (first, second) = (reference("ada", 1), reference("ada", 2));
    enroll(&store, &first, "1", false).await;
    enroll(&store, &second, "2", false).await;
    enroll(&store, &second, "2", true).await;
    let seen = Event {
        at: Timestamp::UNIX_EPOCH,
        actor: Actor::Local,
        action: Action::Verify,
        outcome: Outcome::Match,
        subject: Some(Subject::Employee(first.employee.clone())),
    };
    store.record(std::slice::from_ref(&seen)).await.unwrap();
    let receipt = erase(&store, &first.employee).await.unwrap();
    store.record(&[seen]).await.unwrap();
    let (one, two) = (first.audit_id.to_string(), second.audit_id.to_string());
    let expected = [
        ("enroll", Some(&one)),
        ("erase", Some(&one)),
        ("enroll", Some(&two)),
        ("verify", Some(&two)),
        ("erase", Some(&two)),
        ("verify", None),
    ];
    let expected = expected.map(|(action, subject)| (action.to_owned(), subject.cloned()));
    assert_eq!(trail(&store).await, expected);
    assert_eq!((receipt.audit_id, receipt.head.count), (second.audit_id, 5));
    let (head, met) = store.verify_events(Some(receipt.head)).await.unwrap().unwrap();
    assert_eq!((head.count, met), (6, true));
}

#[tokio::test]
async fn a_trail_that_was_meddled_with_is_found_out() {
    for (meddling, found) in [
        ("update audit_event set outcome = 'match' where number = 700", Broken::Changed(700)),
        ("delete from audit_event where number = 1200", Broken::Missing(1200)),
        ("delete from audit_event where number > 2000", Broken::Cut { ends: 2000, head: 2500 }),
        ("delete from audit_event where number < 3", Broken::Missing(1)),
    ] {
        let (_folder, store) = store().await;
        let event = Event {
            at: Timestamp::UNIX_EPOCH,
            actor: Actor::Local,
            action: Action::Identify,
            outcome: Outcome::NonMatch,
            subject: None,
        };
        store.record(&vec![event; 2500]).await.unwrap();
        let (head, _) = store.verify_events(None).await.unwrap().unwrap();
        sqlx::query(meddling).execute(&store.data.writer).await.unwrap();
        assert_eq!(store.verify_events(Some(head)).await.unwrap(), Err(found), "{meddling}");
    }
}

#[tokio::test]
async fn events_are_dropped_from_the_old_end_and_the_rest_stays_whole() {
    let (_folder, store) = store().await;
    let at = |second| Timestamp::from_second(second).unwrap();
    let event = |second| Event {
        at: at(second),
        actor: Actor::Local,
        action: Action::Compare,
        outcome: Outcome::Match,
        subject: None,
    };
    let events: Vec<_> = [10, 20, 15, 30].map(event).into();
    store.record(&events).await.unwrap();
    assert_eq!(store.drop_events(at(5)).await.unwrap(), 0);
    // The third lies behind one that is to stay, though its own time is over: the clock went back.
    assert_eq!(store.drop_events(at(20)).await.unwrap(), 1);
    assert_eq!(store.verify_events(None).await.unwrap().unwrap().0.count, 4);
    assert_eq!(store.drop_events(at(100)).await.unwrap(), 3);
    store.record(&events).await.unwrap();
    assert_eq!(store.verify_events(None).await.unwrap().unwrap().0.count, 8);
    sqlx::query("update audit_start set number = 5").execute(&store.data.writer).await.unwrap();
    assert_eq!(store.verify_events(None).await.unwrap(), Err(Broken::Start(6)));
}

#[tokio::test]
async fn files_that_do_not_belong_together_are_refused() {
    let (folder, store) = store().await;
    enroll(&store, &reference("ada", 1), "x", false).await;
    store.close().await;
    let path = folder.path().join("likeness.db");
    let other = MasterKeys::one(MasterKey::new(&[2; 32]));
    let refused = Store::open(&path, &other).await.unwrap_err().to_string();
    assert!(refused.starts_with("the key of the audit trail does not open"), "{refused}");
    std::fs::remove_file(folder.path().join("data-keys.db")).unwrap();
    let refused = Store::open(&path, &masters()).await.unwrap_err().to_string();
    assert!(refused.starts_with("the key of the audit trail is missing"), "{refused}");
}
