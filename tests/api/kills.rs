//! Repeated SIGKILL under load: every answered write is durable, every unanswered one is atomic.
//!
//! `cargo test --release --test api kills -- --ignored --nocapture` kills 500 times.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::multipart::Form;
use serde_json::Value;
use tokio::sync::Notify;

use crate::app::{file, photo};
use crate::process::Process;

/// Number of concurrent writers, each with its own employees.
const WRITERS: u64 = 4;
const EMPLOYEES: u64 = 3;

/// The person whose photo an employee is enrolled with; 0 if not enrolled.
type Person = u64;

/// Possible states of an employee: one after a response, two if the kill came first.
#[derive(Clone, Debug, Default)]
struct May {
    be: Vec<Person>,
}

/// A writer's employees and the responses to its calls.
#[derive(Default)]
struct Writer {
    random: Random,
    employees: HashMap<String, May>,
    answered: usize,
    decided: usize,
}

/// Marsaglia's xorshift, so that each run has the same order of calls.
struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }
}

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

async fn enroll(client: &Client, url: &str, employee: &str, person: Person) -> Option<u16> {
    let form = Form::new()
        .text("employee_id", employee.to_owned())
        .text("replace", "true")
        .text("confirm_lookalike", "true")
        .part("photo", file(photo(&format!("people/p{person:02}-a.jpg"))));
    let answer = client.post(format!("{url}/enroll")).multipart(form).send().await.ok()?;
    Some(answer.status().as_u16())
}

/// Returns whether the employee is the person, or the status if there is no decision.
async fn verify(
    client: &Client,
    url: &str,
    employee: &str,
    person: Person,
) -> Option<Result<bool, u16>> {
    let form = Form::new()
        .text("employee_id", employee.to_owned())
        .part("photo", file(photo(&format!("people/p{person:02}-b.jpg"))));
    let answer = client.post(format!("{url}/verify")).multipart(form).send().await.ok()?;
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.ok()?;
    Some(body["match"].as_bool().ok_or(status))
}

async fn erase(client: &Client, url: &str, employee: &str) -> Option<u16> {
    let answer = client.delete(format!("{url}/employees/{employee}")).send().await.ok()?;
    let status = answer.status().as_u16();
    // Counts as answered only with the complete receipt.
    answer.bytes().await.ok()?;
    Some(status)
}

impl Writer {
    fn new(number: u64) -> Self {
        let names = (0..EMPLOYEES).map(|k| (format!("w{number}-{k}"), May { be: vec![0] }));
        let random = Random(Random::default().0 ^ number);
        Self { random, employees: names.collect(), ..Self::default() }
    }

    /// Enrolls, replaces, erases and verifies until the service is killed, and counts the
    /// responses.
    async fn write(&mut self, url: &str, client: &Client, answers: &Notify) {
        loop {
            let mut names: Vec<_> = self.employees.keys().cloned().collect();
            names.sort();
            let name = names.swap_remove(self.random.below(EMPLOYEES) as usize);
            let may = self.employees.get_mut(&name).unwrap();
            let [before] = may.be[..] else { panic!("{name} was checked: {may:?}") };
            match self.random.below(4) {
                0 if before > 0 => {
                    may.be.push(0);
                    let Some(status) = erase(client, url, &name).await else { return };
                    assert!(status == 200 || status == 202, "{name}: {status}");
                    may.be = vec![0];
                }
                1 if before > 0 => {
                    let Some(found) = verify(client, url, &name, before).await else { return };
                    assert_eq!(found, Ok(true), "{name} is {before}");
                    self.decided += 1;
                }
                _ => {
                    let person = 1 + self.random.below(20);
                    may.be.push(person);
                    let status = enroll(client, url, &name, person).await;
                    let Some(status) = status else { return };
                    assert!(status == 200 || status == 201, "{name}: {status}");
                    may.be = vec![person];
                }
            }
            self.answered += 1;
            answers.notify_one();
        }
    }

    /// Checks the state of each employee; returns the number of enrolled ones.
    async fn check(&mut self, url: &str, client: &Client) -> usize {
        for (name, may) in &mut self.employees {
            let held = client.get(format!("{url}/employees/{name}")).send().await.unwrap();
            let mut is = 0;
            if held.status() == 200 {
                for person in may.be.iter().filter(|person| **person > 0) {
                    let found = verify(client, url, name, *person).await.unwrap();
                    self.decided += 1;
                    if found.unwrap() {
                        is = *person;
                    }
                }
                assert!(is > 0, "{name} is enrolled as none of {may:?}");
            } else {
                assert!(may.be.contains(&0), "{name} is gone, and may be {may:?}");
            }
            may.be = vec![is];
        }
        self.employees.values().filter(|may| may.be != [0]).count()
    }
}

/// Verifies the trail; returns the number of its events by action.
fn audited(folder: &std::path::Path) -> HashMap<String, usize> {
    let audit = |word: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
        command.args(["audit", word, "--data-dir"]).arg(folder).output().unwrap()
    };
    let verified = audit("verify");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let mut actions = HashMap::new();
    for line in String::from_utf8(audit("export").stdout).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        *actions.entry(event["action"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    actions
}

async fn kill_and_look(times: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::default();
    let mut writers: Vec<_> = (0..WRITERS).map(Writer::new).collect();
    let mut unanswered = 0;
    for kill in 0..times {
        // No request is refused as busy.
        let service = Process::start_with(folder.path(), &["--queue", "8"]);
        let ready = reqwest::get(format!("{}/readyz", service.url)).await.unwrap();
        let ready: Value = ready.json().await.unwrap();
        let mut enrolled = 0;
        for writer in &mut writers {
            enrolled += writer.check(&service.url, &service.client).await;
        }
        assert_eq!(ready["gallery_size"], enrolled, "after kill {kill}");
        let (url, answers) = (service.url.clone(), Arc::new(Notify::new()));
        let writing = writers.into_iter().map(|mut writer| {
            let (url, client, answers) = (url.clone(), service.client.clone(), answers.clone());
            tokio::spawn(async move {
                writer.write(&url, &client, &answers).await;
                writer
            })
        });
        let writing: Vec<_> = writing.collect();
        // Even on a busy machine, some call has been answered.
        answers.notified().await;
        tokio::time::sleep(Duration::from_millis(random.below(400))).await;
        service.kill();
        writers = Vec::new();
        for task in writing {
            writers.push(task.await.unwrap());
        }
        let open =
            |writer: &Writer| writer.employees.values().filter(|may| may.be.len() > 1).count();
        unanswered += writers.iter().map(open).sum::<usize>();
    }
    let answered: usize = writers.iter().map(|writer| writer.answered).sum();
    let decided: usize = writers.iter().map(|writer| writer.decided).sum();
    let actions = audited(folder.path());
    eprintln!(
        "{times} kills, {answered} answered calls, {unanswered} writes cut short; events: {actions:?}, of {decided} answered verifications"
    );
    assert!(answered as u64 > times && unanswered > 0, "there was something to kill");
    assert!(actions["verify"] >= decided, "every answered decision is in the trail");
}

#[tokio::test]
async fn answered_writes_survive_kills_and_others_are_atomic() {
    kill_and_look(8).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn five_hundred_kills() {
    kill_and_look(500).await;
}
