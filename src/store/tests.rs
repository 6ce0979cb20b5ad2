//! Tests of the store with real files and, if `LIKENESS_TEST_POSTGRES` is set, a real PostgreSQL:
//! its URL without a database (`e2e/with-postgres` starts one).

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use sqlx::{AssertSqlSafe, Connection};

use super::*;
use crate::access::{ApiKey, KeyDigest, KeyName, Role};
use crate::audit::{Action, Actor, Broken, Event, Head, Outcome, Subject};
use crate::embedding::ModelId;
use crate::employee::{AuditId, EmployeeId, ModelName, Reference};
use crate::evaluation::Tail;
use crate::gallery::GalleryDigest;
use crate::presentation::Steps;
use crate::seal::{
    DataKeyId, MasterKey, MasterKeyId, MasterKeys, Sealed, SessionDigest, SessionToken, Template,
    WrappedKey,
};

fn masters() -> MasterKeys {
    MasterKeys::one(MasterKey::new(&[1; 32]))
}

/// The location of a test's store.
struct Place {
    folder: tempfile::TempDir,
    location: Location,
}

fn files() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::File(folder.path().join("likeness.db"));
    Place { folder, location }
}

/// Creates a database, for employees and data keys.
async fn server() -> Option<Place> {
    let url = database().await?;
    let location = Location::Server { data: url.clone(), keys: url };
    Some(Place { folder: tempfile::tempdir().unwrap(), location })
}

/// Creates two databases, one for the data keys.
async fn two_databases() -> Option<Place> {
    let location = Location::Server { data: database().await?, keys: database().await? };
    Some(Place { folder: tempfile::tempdir().unwrap(), location })
}

#[expect(clippy::disallowed_methods, reason = "nobody's configuration: where tests find a server")]
async fn database() -> Option<DatabaseUrl> {
    let Ok(server) = std::env::var("LIKENESS_TEST_POSTGRES") else {
        eprintln!("skipped: there is no LIKENESS_TEST_POSTGRES");
        return None;
    };
    let name = u64::from_le_bytes(*crate::random::random());
    let mut maintenance = sqlx::PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    let create = AssertSqlSafe(format!("create database test_{name}"));
    sqlx::query(create).execute(&mut maintenance).await.unwrap();
    Some(DatabaseUrl::from(format!("{server}/test_{name}").as_str()))
}

impl Place {
    async fn store(&self) -> Store {
        Store::open(&self.location, &masters()).await.unwrap()
    }
}

/// Runs each test with both engines, PostgreSQL with one database and with two.
macro_rules! with_both_engines {
    ($($test:ident)*) => {
        mod sqlite_engine {
            $(#[tokio::test] async fn $test() { super::$test(super::files()).await; })*
        }
        mod postgres_engine {
            $(#[tokio::test] async fn $test() {
                if let Some(place) = super::server().await {
                    super::$test(place).await;
                }
            })*
        }
        mod postgres_with_a_key_database {
            $(#[tokio::test] async fn $test() {
                if let Some(place) = super::two_databases().await {
                    super::$test(place).await;
                }
            })*
        }
    };
}

with_both_engines! {
    reference_is_read_as_stored
    second_enrollment_changes_nothing_without_replace
    employees_are_listed_in_order_page_by_page
    templates_are_paged_with_their_keys
    data_key_without_template_is_erased
    inconsistent_row_is_named_in_the_error
    changes_are_in_the_trail_without_employee_ids
    tampered_trail_fails_verification
    dropping_old_events_keeps_the_chain_valid
    mismatched_databases_and_master_key_are_refused
    api_keys_are_added_listed_and_revoked
    enrollments_are_limited_and_expire
    concurrent_enrollments_of_one_employee_store_one
    data_keys_are_rewrapped
    impostor_tail_is_replaced_by_the_first_of_two_replicas
    retried_events_are_written_once
    refused_event_is_distinguished_from_unavailable_database
    existing_data_is_detected_and_intact
    expiry_is_changed_until_it_has_passed
    employees_without_data_key_are_erased
    presentation_session_is_used_once_by_its_caller
    presentation_session_is_taken_by_one_of_several_replicas
    expired_presentation_session_is_unusable_and_deleted
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

/// Returns a distinct data key and template, which can be found in a file.
fn sealed(marker: &str) -> (WrappedKey, Template) {
    let mut id = [0; 16];
    id.iter_mut().zip(marker.bytes()).for_each(|(to, from)| *to = from);
    let id = DataKeyId::from_bytes(id);
    let bytes = |text: String| Sealed::from_bytes(text.repeat(20).into_bytes());
    let master = MasterKey::new(&[1; 32]).id();
    let key = WrappedKey { id, master, wrapped: bytes(format!("key-of-{marker}")) };
    (key, Template { key: id, sealed: bytes(marker.to_owned()) })
}

async fn enroll(store: &Store, reference: &Reference, marker: &str, replace: bool) -> Enrolled {
    let (key, template) = sealed(marker);
    let written = Written { key: &key, template: &template, replace, seen: None };
    store.enroll(reference, written, &Actor::Local).await.unwrap()
}

/// Returns the number of data keys of templates.
async fn keys_held(store: &Store) -> u64 {
    store.count_data_keys().await.unwrap() - 1
}

async fn erase(store: &Store, employee: &EmployeeId) -> Option<Receipt> {
    store.erase(employee, &Actor::Operator, Timestamp::UNIX_EPOCH).await.unwrap()
}

async fn reference_is_read_as_stored(place: Place) {
    let store = place.store().await;
    let ada = reference("ada", 1);
    assert_eq!(store.find(&ada.employee).await.unwrap(), None);
    assert_eq!(enroll(&store, &ada, "ada", false).await, Enrolled::New);
    assert_eq!(store.find(&ada.employee).await.unwrap(), Some(ada.clone()));
    let (key, template) = sealed("ada");
    let (employee, audit_id) = (ada.employee, ada.audit_id);
    let expected =
        StoredTemplate { employee, audit_id, template, key: Some(key), expires_at: None };
    assert_eq!(store.templates(ada.model.id, None).await.unwrap(), [expected]);
    assert_eq!(store.models().await.unwrap(), [(ada.model, 1)]);
}

async fn second_enrollment_changes_nothing_without_replace(place: Place) {
    let store = place.store().await;
    let (first, second) = (reference("ada", 1), reference("ada", 2));
    enroll(&store, &first, "1", false).await;
    assert_eq!(enroll(&store, &second, "2", false).await, Enrolled::Kept);
    assert_eq!(store.find(&first.employee).await.unwrap(), Some(first.clone()));
    assert_eq!(enroll(&store, &second, "2", true).await, Enrolled::Replaced);
    assert_eq!(store.templates(first.model.id, None).await.unwrap(), []);
    assert_eq!(store.models().await.unwrap(), [(second.model, 1)]);
    assert_eq!(keys_held(&store).await, 1);
}

async fn employees_are_listed_in_order_page_by_page(place: Place) {
    let store = place.store().await;
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
async fn erased_or_replaced_template_is_in_no_file() {
    let place = files();
    let (folder, store) = (&place.folder, place.store().await);
    let ada = reference("ada", 1);
    enroll(&store, &reference("bob", 1), "stays-here", false).await;
    enroll(&store, &ada, "first-photo", false).await;
    enroll(&store, &ada, "second-photo", true).await;
    assert!(!on_disk(folder.path(), "first-photo"));
    assert!(erase(&store, &ada.employee).await.unwrap().extent == Extent::Wholly);
    assert_eq!(erase(&store, &ada.employee).await, None);
    assert!(!on_disk(folder.path(), "second-photo"));
    assert!(on_disk(folder.path(), "stays-here"), "the search itself finds what is there");
    assert!(on_disk(folder.path(), "key-of-stays-here"));
}

#[tokio::test]
async fn erasure_is_underway_while_a_foreign_reader_holds_the_wal() {
    let place = files();
    let (folder, store) = (&place.folder, place.store().await);
    let ada = reference("ada", 1);
    enroll(&store, &ada, "a-photo", false).await;
    let mut reader = store.data.readers.begin().await.unwrap();
    sqlx::query("select * from template").fetch_all(&mut *reader).await.unwrap();
    let receipt = erase(&store, &ada.employee).await.unwrap();
    assert_eq!(receipt.extent, Extent::Underway);
    assert_eq!(keys_held(&store).await, 0);
    assert!(on_disk(folder.path(), "a-photo"), "the reader holds it, sealed, and its key is gone");
    assert!(!on_disk(folder.path(), "key-of-a-photo"));
    assert!(!store.wipe_leftovers().await);
    assert_eq!(store.receipt(&ada.employee, receipt.id).await.unwrap(), Some(receipt.clone()));
    drop(reader);
    let wholly = Receipt { extent: Extent::Wholly, ..receipt };
    assert_eq!(store.receipt(&ada.employee, wholly.id).await.unwrap(), Some(wholly));
    assert!(!on_disk(folder.path(), "a-photo"));
}

async fn data_key_without_template_is_erased(place: Place) {
    let store = place.store().await;
    enroll(&store, &reference("bob", 1), "stays", false).await;
    let (orphan, _) = sealed("orphan");
    data_keys::insert(&mut store.keys.writer.acquire().await.unwrap(), &orphan).await.unwrap();
    let is_file = matches!(place.location, Location::File(_));
    assert_eq!(on_disk(place.folder.path(), "key-of-orphan"), is_file);
    assert!(store.wipe_leftovers().await);
    assert!(!on_disk(place.folder.path(), "key-of-orphan"));
    assert_eq!(keys_held(&store).await, 1);
}

fn on_disk(folder: &Path, marker: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
    })
}

async fn inconsistent_row_is_named_in_the_error(place: Place) {
    let store = place.store().await;
    let ada = reference("ada", 1);
    enroll(&store, &ada, "x", false).await;
    sqlx::query("update employee set enrolled_at = 9223372036854775807")
        .execute(&store.data.writer)
        .await
        .unwrap();
    let error = store.find(&ada.employee).await.unwrap_err().to_string();
    assert_eq!(error, "the database is inconsistent: employee.enrolled_at of ada");
}

/// Returns the action and the subject of each event.
async fn trail(store: &Store) -> Vec<(String, Option<String>)> {
    let events = store.events(1).await.unwrap();
    events.into_iter().map(|entry| (entry.event.action, entry.event.subject)).collect()
}

fn verified(subject: Option<AuditId>) -> Event {
    Event {
        at: Timestamp::UNIX_EPOCH,
        actor: Actor::Local,
        action: Action::Verify,
        outcome: Outcome::MATCH,
        subject: subject.map(Subject::Reference),
    }
}

async fn changes_are_in_the_trail_without_employee_ids(place: Place) {
    let store = place.store().await;
    let (first, second) = (reference("ada", 1), reference("ada", 2));
    enroll(&store, &first, "1", false).await;
    enroll(&store, &second, "2", false).await;
    enroll(&store, &second, "2", true).await;
    let seen = verified(Some(second.audit_id));
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
        ("verify", Some(&two)),
    ];
    let expected = expected.map(|(action, subject)| (action.to_owned(), subject.cloned()));
    assert_eq!(trail(&store).await, expected);
    assert_eq!((receipt.audit_id, receipt.head.count), (second.audit_id, 5));
    let (head, met) = store.verify_events(Some(receipt.head)).await.unwrap().unwrap();
    assert_eq!((head.count, met), (6, true));
}

async fn tampered_trail_fails_verification(place: Place) {
    for (meddling, found) in [
        ("update audit_event set outcome = 'match' where number = 700", Broken::Changed(700)),
        ("delete from audit_event where number = 1200", Broken::Missing(1200)),
        ("delete from audit_event where number > 2000", Broken::Cut { ends: 2000, head: 2500 }),
        ("delete from audit_event where number < 3", Broken::Missing(1)),
    ] {
        let store = place.store().await;
        sqlx::query("delete from audit_event").execute(&store.data.writer).await.unwrap();
        let event = Event {
            at: Timestamp::UNIX_EPOCH,
            actor: Actor::Local,
            action: Action::Identify,
            outcome: Outcome::NON_MATCH,
            subject: None,
        };
        store.record(&vec![event; 2500]).await.unwrap();
        let (head, _) = store.verify_events(None).await.unwrap().unwrap();
        sqlx::query(meddling).execute(&store.data.writer).await.unwrap();
        assert_eq!(store.verify_events(Some(head)).await.unwrap(), Err(found), "{meddling}");
    }
}

async fn dropping_old_events_keeps_the_chain_valid(place: Place) {
    let store = place.store().await;
    let at = |second| Timestamp::from_second(second).unwrap();
    let event = |second| Event {
        at: at(second),
        actor: Actor::Local,
        action: Action::Compare,
        outcome: Outcome::MATCH,
        subject: None,
    };
    let events: Vec<_> = [10, 20, 15, 30].map(event).into();
    store.record(&events).await.unwrap();
    assert_eq!(store.drop_events(at(5)).await.unwrap(), 0);
    // The third event is older than the limit, but follows one that stays, because the clock went
    // back.
    assert_eq!(store.drop_events(at(20)).await.unwrap(), 1);
    assert_eq!(store.verify_events(None).await.unwrap().unwrap().0.count, 4);
    assert_eq!(store.drop_events(at(100)).await.unwrap(), 3);
    store.record(&events).await.unwrap();
    assert_eq!(store.verify_events(None).await.unwrap().unwrap().0.count, 8);
    sqlx::query("update audit_start set number = 5").execute(&store.data.writer).await.unwrap();
    assert_eq!(store.verify_events(None).await.unwrap(), Err(Broken::Start(6)));
}

async fn mismatched_databases_and_master_key_are_refused(place: Place) {
    let store = place.store().await;
    enroll(&store, &reference("ada", 1), "x", false).await;
    let other = MasterKeys::one(MasterKey::new(&[2; 32]));
    let refused = Store::open(&place.location, &other).await.unwrap_err().to_string();
    assert!(refused.starts_with("the key of the audit trail does not open"), "{refused}");
    sqlx::query("delete from data_key").execute(&store.keys.writer).await.unwrap();
    store.close().await;
    let refused = Store::open(&place.location, &masters()).await.unwrap_err().to_string();
    assert!(refused.starts_with("the key of the audit trail is missing"), "{refused}");
}

async fn templates_are_paged_with_their_keys(place: Place) {
    let store = place.store().await;
    for employee in ["c", "a", "b", "d"] {
        enroll(&store, &reference(employee, 1), employee, false).await;
    }
    enroll(&store, &reference("other-model", 2), "e", false).await;
    sqlx::query("delete from data_key where key_id = $1")
        .bind(sealed("c").0.id.as_bytes().as_slice())
        .execute(&store.keys.writer)
        .await
        .unwrap();
    let model = reference("a", 1).model.id;
    let after = Some(sealed("a").0.id);
    let page = store.templates(model, after).await.unwrap();
    let found: Vec<_> =
        page.iter().map(|stored| (stored.employee.as_str(), stored.key.is_some())).collect();
    assert_eq!(found, [("b", true), ("c", false), ("d", true)]);
}

async fn api_keys_are_added_listed_and_revoked(place: Place) {
    let store = place.store().await;
    let name = |name| KeyName::parse(name).unwrap();
    let api_key = |named, role| ApiKey {
        name: name(named),
        role,
        digest: KeyDigest::of(named),
        created_at: Timestamp::UNIX_EPOCH,
    };
    let (door, desk) = (api_key("door", Role::Terminal), api_key("Desk", Role::Enroller));
    assert!(!store.ever_had_api_key().await.unwrap());
    assert!(store.add_api_key(&door, Actor::Operator).await.unwrap());
    assert!(store.add_api_key(&desk, Actor::Operator).await.unwrap());
    assert!(!store.add_api_key(&api_key("door", Role::Admin), Actor::Operator).await.unwrap());
    assert_eq!(store.api_keys().await.unwrap(), [desk, door.clone()]);
    let at = Timestamp::UNIX_EPOCH;
    assert!(store.revoke(&name("Desk"), Actor::Operator, at).await.unwrap());
    assert!(!store.revoke(&name("Desk"), Actor::Operator, at).await.unwrap());
    assert_eq!(store.api_keys().await.unwrap(), std::slice::from_ref(&door));
    let again = api_key("Desk", Role::Admin);
    assert!(!store.add_api_key(&again, Actor::Operator).await.unwrap(), "a name is given once");
    assert!(store.revoke(&name("door"), Actor::Operator, at).await.unwrap());
    assert_eq!(store.api_keys().await.unwrap(), []);
    assert!(store.ever_had_api_key().await.unwrap());
}

async fn enrollments_are_limited_and_expire(place: Place) {
    let store = place.store().await;
    let ada = reference("ada", 1);
    enroll(&store, &ada, "1", false).await;
    let end = ada.enrolled_at + SignedDuration::from_hours(24);
    let sooner = Reference { expires_at: Some(end), ..reference("bob", 1) };
    enroll(&store, &sooner, "2", false).await;
    for _ in 0..2 {
        store.limit_enrollments(SignedDuration::from_hours(48), end).await.unwrap();
    }
    let rule = ("limit_enrolments".to_owned(), None);
    assert_eq!(trail(&store).await[2..], [rule], "once, when it changed somebody's");
    let ends = async |name: &str| {
        store.find(&EmployeeId::parse(name).unwrap()).await.unwrap().unwrap().expires_at.unwrap()
    };
    assert_eq!((ends("ada").await, ends("bob").await), (end + SignedDuration::from_hours(24), end));
    assert_eq!(store.expired(end).await.unwrap(), [sooner.employee]);
}

async fn existing_data_is_detected_and_intact(place: Place) {
    assert!(!Store::holds_data(&place.location).await.unwrap());
    let store = place.store().await;
    assert!(Store::holds_data(&place.location).await.unwrap());
    store.ping().await.unwrap();
    store.check().await.unwrap();
}

async fn expiry_is_changed_until_it_has_passed(place: Place) {
    let store = place.store().await;
    let ada = reference("ada", 1);
    enroll(&store, &ada, "1", false).await;
    let end = ada.enrolled_at + SignedDuration::from_hours(24);
    let change = async |expires_at, now| {
        store.change_expiry(&ada.employee, expires_at, &Actor::Operator, now).await.unwrap()
    };
    assert!(change(Some(end), ada.enrolled_at).await);
    let changed = store.find(&ada.employee).await.unwrap().unwrap();
    assert_eq!(changed, Reference { expires_at: Some(end), ..ada.clone() });
    assert!(!change(None, end).await, "the enrollment has expired");
    assert_eq!(store.events_about(ada.audit_id).await.unwrap().len(), 2);
}

async fn employees_without_data_key_are_erased(place: Place) {
    let store = place.store().await;
    let (ada, bob) = (reference("ada", 1), reference("bob", 1));
    enroll(&store, &ada, "1", false).await;
    enroll(&store, &bob, "2", false).await;
    let key = sealed("1").0.id;
    let lose =
        sqlx::query("delete from data_key where key_id = $1").bind(key.as_bytes().as_slice());
    lose.execute(&store.keys.writer).await.unwrap();
    let erased = store.erase_keyless(&Actor::Operator, ada.enrolled_at).await.unwrap();
    assert_eq!(erased, [ada.employee]);
    assert_eq!(store.list(None, 10).await.unwrap(), [bob]);
}

async fn concurrent_enrollments_of_one_employee_store_one(place: Place) {
    let store = place.store().await;
    let ada = reference("ada", 1);
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let (store, ada) = (store.clone(), ada.clone());
            tokio::spawn(async move { enroll(&store, &ada, &number.to_string(), false).await })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        won += usize::from(task.await.unwrap() == Enrolled::New);
    }
    assert_eq!((won, keys_held(&store).await), (1, 1));
    assert_eq!(trail(&store).await.len(), 1);
}

async fn impostor_tail_is_replaced_by_the_first_of_two_replicas(place: Place) {
    let (store, model) = (place.store().await, ModelId::from_digest([3; 32]));
    let now = Timestamp::UNIX_EPOCH;
    let tail = |people| Some(Tail { people, level: -2.25, slope: 1.5 });
    assert_eq!(store.impostor_tail(model).await.unwrap(), None);
    assert!(store.replace_impostor_tail(model, None, tail(50), now).await.unwrap());
    let stored = store.impostor_tail(model).await.unwrap().unwrap();
    assert_eq!((stored.number, stored.tail), (1, tail(50)));
    // Another replica has seen the same number and is too late.
    assert!(store.replace_impostor_tail(model, Some(1), tail(60), now).await.unwrap());
    assert!(!store.replace_impostor_tail(model, Some(1), tail(61), now).await.unwrap());
    assert!(!store.replace_impostor_tail(model, None, tail(62), now).await.unwrap());
    assert!(store.replace_impostor_tail(model, Some(2), None, now).await.unwrap());
    let stored = store.impostor_tail(model).await.unwrap().unwrap();
    assert_eq!((stored.number, stored.tail), (3, None));
    let events = store.events(1).await.unwrap();
    assert!(events.iter().all(|entry| entry.event.action == "fit_threshold"), "{events:?}");
    assert_eq!(events.len(), 3);
}

async fn data_keys_are_rewrapped(place: Place) {
    let store = place.store().await;
    let (key, _) = sealed("ada");
    enroll(&store, &reference("ada", 1), "ada", false).await;
    let next = MasterKeyId::from_bytes([9; 8]);
    let first = store.data_keys_not_of(next, 1).await.unwrap();
    assert_eq!(first[0].id, DataKeyId::AUDIT, "from then on no older master key wraps");
    let wrapped = Sealed::from_bytes(vec![3]);
    let anew = WrappedKey { id: key.id, master: next, wrapped };
    store.rewrap(std::slice::from_ref(&anew)).await.unwrap();
    let held = store.export(&EmployeeId::parse("ada").unwrap()).await.unwrap().unwrap();
    assert_eq!(held.key, Some(anew));
    assert_eq!(store.data_keys_not_of(next, 9).await.unwrap().len(), 1);
}

/// Returns the changes after a number: the employee, and whether they are enrolled now.
async fn changes(store: &Store, after: u64) -> Option<Vec<(u64, String, bool)>> {
    let told = |change: Change| {
        (change.number, change.employee.as_str().to_owned(), change.present.is_some())
    };
    match store.changes(after).await.unwrap() {
        Changes::Gap => None,
        Changes::Next { changes, .. } => Some(changes.into_iter().map(told).collect()),
    }
}

#[tokio::test]
async fn feed_lists_changed_enrollments() {
    let Some(place) = server().await else { return };
    let store = place.store().await;
    let (ada, bob) = (reference("ada", 1), reference("bob", 1));
    assert_eq!(changes(&store, 0).await, Some(vec![]));
    let mut listener = store.listener().await.unwrap().unwrap();
    enroll(&store, &ada, "1", false).await;
    listener.changed().await.unwrap();
    enroll(&store, &bob, "2", false).await;
    erase(&store, &ada.employee).await.unwrap();
    let told = |number, name: &str, present| (number, name.to_owned(), present);
    let all = vec![told(1, "ada", false), told(2, "bob", true), told(3, "ada", false)];
    assert_eq!(changes(&store, 0).await, Some(all.clone()));
    assert_eq!(changes(&store, 2).await, Some(all[2..].to_vec()));
    assert_eq!(changes(&store, 3).await, Some(vec![]));
    assert_eq!(changes(&store, 9).await, None, "a database that was put back to an earlier state");
    let snapshot = store.feed_snapshot(1).await.unwrap();
    assert!(matches!(snapshot.changes, Changes::Next { changes, .. } if changes.len() == 2));
    assert_eq!(snapshot.digests[&bob.model.id], GalleryDigest::of(&bob.employee, sealed("2").0.id));
    assert_eq!(store.last_change().await.unwrap(), 3);
    store.drop_changes().await.unwrap();
    assert_eq!(
        changes(&store, 1).await,
        Some(all[1..].to_vec()),
        "by the server's clock they are young, whatever the writer's said"
    );
    sqlx::query("update change set at = at - 61000").execute(&store.data.writer).await.unwrap();
    store.drop_changes().await.unwrap();
    assert_eq!(changes(&store, 3).await, Some(vec![]), "the newest row stays");
    assert_eq!(changes(&store, 2).await, Some(all[2..].to_vec()));
    assert_eq!(changes(&store, 1).await, None, "who has read no further has missed something");
}

#[tokio::test]
async fn feed_lists_enrollments_shortened_by_a_limit() {
    let Some(place) = server().await else { return };
    let store = place.store().await;
    let (ada, bob) = (reference("ada", 1), reference("bob", 1));
    let day = SignedDuration::from_hours(24);
    enroll(&store, &ada, "1", false).await;
    let sooner = Reference { expires_at: Some(bob.enrolled_at + day), ..bob };
    enroll(&store, &sooner, "2", false).await;
    let mut listener = store.listener().await.unwrap().unwrap();
    store.limit_enrollments(day, ada.enrolled_at).await.unwrap();
    listener.changed().await.unwrap();
    let Changes::Next { changes: told, .. } = store.changes(2).await.unwrap() else { panic!() };
    let (_, stored) = told[0].present.clone().unwrap();
    assert_eq!((told.len(), told[0].number), (1, 3));
    assert_eq!((stored.employee, stored.expires_at), (ada.employee, Some(ada.enrolled_at + day)));
    store.limit_enrollments(day, ada.enrolled_at).await.unwrap();
    assert_eq!(changes(&store, 3).await, Some(vec![]), "the same rule again changes nothing");
}

#[tokio::test]
async fn enrollment_with_unread_changes_is_refused() {
    let Some(place) = server().await else { return };
    let store = place.store().await;
    let enroll_having_seen = async |name: &str, seen| {
        let (key, template) = sealed(name);
        let written = Written { key: &key, template: &template, replace: false, seen: Some(seen) };
        store.enroll(&reference(name, 1), written, &Actor::Local).await.unwrap()
    };
    assert_eq!(enroll_having_seen("ada", 0).await, Enrolled::New);
    assert_eq!(enroll_having_seen("bob", 0).await, Enrolled::Behind);
    assert_eq!(keys_held(&store).await, 1);
    assert_eq!(enroll_having_seen("bob", 1).await, Enrolled::New);
}

#[tokio::test]
async fn data_key_of_a_former_master_key_is_refused() {
    let Some(place) = server().await else { return };
    let store = place.store().await;
    let next = MasterKeyId::from_bytes([9; 8]);
    let audit = store.data_keys_not_of(next, 1).await.unwrap().remove(0);
    store.rewrap(&[WrappedKey { master: next, ..audit }]).await.unwrap();
    let (key, template) = sealed("ada");
    let written = Written { key: &key, template: &template, replace: false, seen: None };
    let refused = store.enroll(&reference("ada", 1), written, &Actor::Local).await.unwrap_err();
    assert!(matches!(refused, StoreError::MasterKey), "{refused}");
}

#[tokio::test]
async fn interrupted_copy_resumes_and_is_compared() {
    let (files, Some(server)) = (files(), server().await) else { return };
    let store = files.store().await;
    for name in ["ada", "bob", "cyd"] {
        enroll(&store, &reference(name, 1), name, false).await;
    }
    erase(&store, &EmployeeId::parse("cyd").unwrap()).await.unwrap();
    let copy = async || {
        let mut copied = 0;
        store.copy_to(&server.location, |more| copied += more).await.map(|()| copied)
    };
    let rows = store.count_rows().await.unwrap();
    assert_eq!(copy().await.unwrap(), rows);
    let (data, _) = databases(&server.location).await.unwrap();
    // Simulates an interrupted copy.
    for cut in [
        "delete from audit_event where number > 1",
        "delete from employee where employee_id = 'bob'",
    ] {
        sqlx::query(cut).execute(&data.writer).await.unwrap();
    }
    assert_eq!(copy().await.unwrap(), rows);
    let (head, _) = store.verify_events(None).await.unwrap().unwrap();
    let copied = server.store().await;
    assert_eq!(copied.verify_events(Some(head)).await.unwrap().unwrap().0.count, 4);
    assert_eq!(copied.list(None, 9).await.unwrap(), store.list(None, 9).await.unwrap());
    sqlx::query("update employee set expires_at = 1").execute(&data.writer).await.unwrap();
    assert!(matches!(copy().await, Err(StoreError::Differs("employee"))));
    enroll(&copied, &reference("dan", 1), "dan", false).await;
    assert!(matches!(copy().await, Err(StoreError::InService)));
}

async fn retried_events_are_written_once(place: Place) {
    let store = place.store().await;
    let events = [verified(None), verified(Some(audit_id("ada", 1)))];
    let mut attempt = Attempt::default();
    assert_eq!(store.record_once(&events[..1], &mut attempt).await.unwrap(), 1);
    let (head, _) = store.verify_events(None).await.unwrap().unwrap();
    // Simulates a lost response to the commit.
    attempt.tried = Some((head, 1));
    assert_eq!(
        store.record_once(&events, &mut attempt).await.unwrap(),
        1,
        "the first one is there"
    );
    assert_eq!(store.record_once(&events[1..], &mut attempt).await.unwrap(), 1);
    // Simulates a lost commit.
    let lost = Head { count: 3, ..head };
    attempt.tried = Some((lost, 2));
    assert_eq!(store.record_once(&events[1..], &mut attempt).await.unwrap(), 1);
    let (head, _) = store.verify_events(None).await.unwrap().unwrap();
    assert_eq!(head.count, 3);
}

async fn refused_event_is_distinguished_from_unavailable_database(place: Place) {
    let store = place.store().await;
    sqlx::query("alter table audit_event rename column subject to topic")
        .execute(&store.data.writer)
        .await
        .unwrap();
    assert!(!store.record(&[verified(None)]).await.unwrap_err().is_refused());
    let undo = "alter table audit_event rename column topic to subject";
    sqlx::query(undo).execute(&store.data.writer).await.unwrap();
    let unique = "create unique index one_subject on audit_event (subject)";
    sqlx::query(unique).execute(&store.data.writer).await.unwrap();
    let about_ada = verified(Some(audit_id("ada", 1)));
    store.record(std::slice::from_ref(&about_ada)).await.unwrap();
    assert!(store.record(&[about_ada]).await.unwrap_err().is_refused());
    store.record(&[verified(Some(audit_id("bob", 1)))]).await.unwrap();
}

/// Every write waits while another session holds the lock; afterwards each connection can write
/// again.
#[tokio::test]
async fn lock_timeout_leaves_connections_usable() {
    let Some(place) = server().await else { return };
    let store = place.store().await;
    let Location::Server { data, .. } = &place.location else { unreachable!() };
    let mut other = sqlx::PgConnection::connect(data.of_postgres().unwrap()).await.unwrap();
    let lock = "select pg_advisory_lock(1818848101, 0)";
    sqlx::query(lock).execute(&mut other).await.unwrap();
    // Each of the four connections waits for its lock_timeout of 5 seconds.
    let enrol_many = |round: usize| {
        let tasks = (0..4).map(|number| {
            let (store, name) = (store.clone(), format!("e-{round}-{number}"));
            tokio::spawn(async move {
                let (key, template) = sealed(&name);
                let written =
                    Written { key: &key, template: &template, replace: false, seen: None };
                store.enroll(&reference(&name, 1), written, &Actor::Local).await
            })
        });
        tasks.collect::<Vec<_>>()
    };
    for task in enrol_many(1) {
        let refused = task.await.unwrap().unwrap_err();
        assert!(refused.is_locked(), "{refused}");
    }
    // Two more seconds, as the journal would retry.
    sqlx::query("select pg_sleep(2)").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(store.data.writer.acquire().await.unwrap());
    }
    for connection in &mut connections {
        let mut tx = connection.begin().await.unwrap();
        sqlx::query("select 1").execute(&mut *tx).await.unwrap();
        tx.rollback().await.unwrap();
    }
    drop(connections);
    for task in enrol_many(2) {
        assert_eq!(task.await.unwrap().unwrap(), Enrolled::New);
    }
}

#[tokio::test]
async fn change_feed_has_its_own_connections() {
    let Some(place) = server().await else { return };
    let store = place.store().await;
    enroll(&store, &reference("ada", 1), "1", false).await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        busy.push(store.data.readers.acquire().await.unwrap());
        busy.push(store.keys.readers.acquire().await.unwrap());
    }
    assert!(store.list(None, 1).await.is_err(), "every reader is taken");
    assert_eq!(changes(&store, 0).await, Some(vec![(1, "ada".to_owned(), true)]));
    assert_eq!(store.feed_snapshot(0).await.unwrap().digests.len(), 1);
}

#[tokio::test]
async fn archive_has_every_data_key_despite_concurrent_replace() {
    let place = files();
    let store = place.store().await;
    enroll(&store, &reference("ada", 1), "first", false).await;
    // Holds the archive between its two copies.
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(store.keys.readers.acquire().await.unwrap());
    }
    let archives = tempfile::tempdir().unwrap();
    let data = archives.path().join("likeness.db");
    let task = tokio::spawn({
        let (store, data) = (store.clone(), data.clone());
        async move { store.archive(&data, &data.with_file_name("data-keys.db")).await }
    });
    while !data.exists() {
        tokio::task::yield_now().await;
    }
    // Another process, as the service is.
    let service = place.store().await;
    let (key, template) = sealed("second");
    let written = Written { key: &key, template: &template, replace: true, seen: None };
    // It may time out.
    let replaced = service.enroll(&reference("ada", 2), written, &Actor::Local).await;
    drop(readers);
    task.await.unwrap().unwrap();
    if let Err(error) = replaced {
        assert!(error.is_locked(), "{error}");
        enroll(&service, &reference("ada", 2), "second", true).await;
    }
    let restored = Store::open(&Location::File(data), &masters()).await.unwrap();
    let page = restored.templates(reference("ada", 1).model.id, None).await.unwrap();
    assert!(page.len() == 1 && page[0].key.is_some(), "{page:?}");
}

#[tokio::test]
async fn canceled_checkpoint_restores_the_busy_timeout() {
    let place = files();
    let store = place.store().await;
    enroll(&store, &reference("ada", 1), "1", false).await;
    let mut reader = store.data.readers.begin().await.unwrap();
    sqlx::query("select * from template").fetch_all(&mut *reader).await.unwrap();
    enroll(&store, &reference("bob", 1), "2", false).await;
    let patience = async || {
        let mut writer = store.data.writer.acquire().await.unwrap();
        let time = sqlx::query_scalar("pragma busy_timeout").fetch_one(&mut *writer);
        time.await.unwrap()
    };
    let usual: i64 = patience().await;
    // The client leaves while the checkpoint waits for the reader.
    for milliseconds in [1, 10, 50, 100, 200] {
        let given_up = std::time::Duration::from_millis(milliseconds);
        let _ = tokio::time::timeout(given_up, store.data.truncate_wal()).await;
        assert_eq!(patience().await, usual, "left after {milliseconds} ms");
    }
}

#[tokio::test]
async fn non_unicode_path_is_archived_to_but_refused_as_database() {
    use std::os::unix::ffi::OsStrExt;
    let place = files();
    let store = place.store().await;
    enroll(&store, &reference("ada", 1), "a-photo", false).await;
    let folder = place.folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9 100%"));
    std::fs::create_dir(&folder).unwrap();
    let (data, keys) = (folder.join("data"), folder.join("keys"));
    store.archive(&data, &keys).await.unwrap();
    assert!(on_disk(&folder, "a-photo") && on_disk(&folder, "key-of-a-photo"));
    let copies = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(copies, 2, "and nothing else is there");
    let refused = Store::open(&Location::File(data), &masters()).await.unwrap_err().to_string();
    assert!(refused.contains("is not valid UTF-8"), "{refused}");
}

/// Opens a presentation session of two minutes for a terminal.
async fn opened(store: &Store, employee: Option<&EmployeeId>) -> SessionDigest {
    let digest = SessionToken::draw().digest();
    let session = NewSession {
        digest,
        caller: &terminal(),
        employee,
        steps: Steps::parse("left 1500 up 4000").unwrap(),
        opened_at: Timestamp::UNIX_EPOCH,
        lifetime: SignedDuration::from_mins(2),
    };
    store.open_presentation_session(&session).await.unwrap();
    digest
}

fn terminal() -> Actor {
    Actor::Key(KeyName::parse("terminal").unwrap())
}

async fn presentation_session_is_used_once_by_its_caller(place: Place) {
    let store = place.store().await;
    let (ada, bob) = (EmployeeId::parse("ada").unwrap(), EmployeeId::parse("bob").unwrap());
    let (now, caller) = (Timestamp::from_second(60).unwrap(), terminal());
    let sealed = Sealed::from_bytes(b"the-probe-of-a-session".to_vec());
    let probe = async |digest, caller: &Actor, employee| {
        store.take_presentation_probe(digest, caller, employee, now).await.unwrap()
    };
    for bound in [Some(&ada), None] {
        let digest = opened(&store, bound).await;
        let take =
            async |caller| store.take_presentation_session(digest, caller, now).await.unwrap();
        assert!(!store.keep_presentation_probe(digest, &sealed, now).await.unwrap());
        assert_eq!(take(&Actor::Local).await, None);
        let taken = TakenSession {
            employee: bound.cloned(),
            steps: Steps::parse("left 1500 up 4000").unwrap(),
            opened_at: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(take(&caller).await, Some(taken));
        assert_eq!(take(&caller).await, None);
        assert_eq!(probe(digest, &caller, bound).await, None, "not judged yet");
        assert!(store.keep_presentation_probe(digest, &sealed, now).await.unwrap());
        assert_eq!(probe(digest, &Actor::Local, Some(&ada)).await, None);
        if bound.is_some() {
            assert_eq!(probe(digest, &caller, Some(&bob)).await, None);
            assert_eq!(probe(digest, &caller, None).await, None);
        }
        assert_eq!(probe(digest, &caller, bound).await, Some(sealed.clone()));
        assert_eq!(probe(digest, &caller, bound).await, None);
    }
    let refused = opened(&store, None).await;
    store.take_presentation_session(refused, &caller, now).await.unwrap().unwrap();
    store.delete_presentation_session(refused).await.unwrap();
    assert!(!store.keep_presentation_probe(refused, &sealed, now).await.unwrap());
    assert!(store.data.is_empty("presentation_session").await.unwrap());
}

async fn presentation_session_is_taken_by_one_of_several_replicas(place: Place) {
    let store = place.store().await;
    let digest = opened(&store, None).await;
    let replicas = match place.location {
        Location::File(_) => vec![store.clone(), store],
        Location::Server { .. } => vec![store, place.store().await],
    };
    let tasks = replicas.iter().cycle().take(8).cloned().map(|store| {
        tokio::spawn(async move {
            let now = Timestamp::from_second(1).unwrap();
            store.take_presentation_session(digest, &terminal(), now).await.unwrap().is_some()
        })
    });
    let mut winners = 0;
    for task in tasks.collect::<Vec<_>>() {
        winners += usize::from(task.await.unwrap());
    }
    assert_eq!(winners, 1);
}

async fn expired_presentation_session_is_unusable_and_deleted(place: Place) {
    let store = place.store().await;
    let (caller, sealed) = (terminal(), Sealed::from_bytes(vec![7; 40]));
    let [early, late] = [119, 120].map(|second| Timestamp::from_second(second).unwrap());
    let (open, judged, live) =
        (opened(&store, None).await, opened(&store, None).await, opened(&store, None).await);
    for digest in [judged, live] {
        store.take_presentation_session(digest, &caller, early).await.unwrap().unwrap();
    }
    assert!(store.keep_presentation_probe(live, &sealed, early).await.unwrap());
    assert_eq!(store.take_presentation_session(open, &caller, late).await.unwrap(), None);
    assert!(!store.keep_presentation_probe(judged, &sealed, late).await.unwrap());
    assert_eq!(store.take_presentation_probe(live, &caller, None, late).await.unwrap(), None);
    assert_eq!(store.drop_presentation_sessions(early).await.unwrap(), 0);
    assert_eq!(store.drop_presentation_sessions(late).await.unwrap(), 3);
    assert!(store.data.is_empty("presentation_session").await.unwrap());
}
