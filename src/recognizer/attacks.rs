//! Counts presentation attacks, so that nobody can try until one passes.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::audit::Actor;
use crate::employee::EmployeeId;

/// The time in which attacks add up.
const WINDOW: SignedDuration = SignedDuration::from_mins(3);

/// So many attacks within the window are too many.
const MOST: usize = 5;

/// The attacks of the last three minutes that this process has seen, by claimed employee and by caller.
#[derive(Debug, Default)]
pub(super) struct Attacks(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    employees: HashMap<EmployeeId, Times>,
    actors: HashMap<Actor, Times>,
    repeated: u64,
}

/// The times of attacks, oldest first.
type Times = VecDeque<Timestamp>;

impl Attacks {
    /// Counts an attack. Returns whether the caller has now made too many; the count of the caller then starts anew.
    pub(super) fn record(
        &self,
        employee: Option<&EmployeeId>,
        actor: &Actor,
        at: Timestamp,
    ) -> bool {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Recent { employees, actors, repeated } = &mut *recent;
        forget(employees, at);
        forget(actors, at);
        if let Some(employee) = employee {
            add(employees, employee.clone(), at);
        }
        let too_many = add(actors, actor.clone(), at) >= MOST;
        if too_many {
            actors.remove(actor);
            *repeated += 1;
        }
        too_many
    }

    /// Returns how long verifications of an employee stay refused, if there were too many attacks.
    pub(super) fn wait(&self, employee: &EmployeeId, now: Timestamp) -> Option<Duration> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = recent.employees.get(employee)?;
        let oldest = times.len().checked_sub(MOST).map(|index| times[index])?;
        let left = WINDOW - now.duration_since(oldest);
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    /// Returns how often a caller has made too many attacks.
    pub(super) fn repeated(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).repeated
    }
}

/// Adds a time, and returns the number of times within the window.
fn add<K: Eq + Hash>(all: &mut HashMap<K, Times>, key: K, at: Timestamp) -> usize {
    let times = all.entry(key).or_default();
    times.push_back(at);
    if times.len() > MOST {
        times.pop_front();
    }
    times.len()
}

/// Removes times before the window, and keys without any.
fn forget<K: Eq + Hash>(all: &mut HashMap<K, Times>, now: Timestamp) {
    all.retain(|_, times| {
        times.retain(|&at| now.duration_since(at) < WINDOW);
        !times.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn employee(id: &str) -> EmployeeId {
        EmployeeId::parse(id).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn five_attacks_in_three_minutes_stop_verifications_of_that_employee() {
        let attacks = Attacks::default();
        for second in 0..4 {
            attacks.record(Some(&employee("ada")), &Actor::Local, at(second));
        }
        assert_eq!(attacks.wait(&employee("ada"), at(4)), None);
        attacks.record(Some(&employee("ada")), &Actor::Local, at(60));
        assert_eq!(attacks.wait(&employee("ada"), at(60)), Some(Duration::from_mins(2)));
        assert_eq!(attacks.wait(&employee("bob"), at(60)), None);
        assert_eq!(attacks.wait(&employee("ada"), at(179)), Some(Duration::from_secs(1)));
        assert_eq!(attacks.wait(&employee("ada"), at(180)), None);
    }

    #[test]
    fn attacks_far_apart_do_not_add_up() {
        let attacks = Attacks::default();
        for minute in 0..20 {
            assert!(!attacks.record(Some(&employee("ada")), &Actor::Local, at(60 * minute)));
            assert_eq!(attacks.wait(&employee("ada"), at(60 * minute)), None);
        }
        assert_eq!(attacks.repeated(), 0);
    }

    #[test]
    fn every_fifth_attack_of_a_caller_is_reported() {
        let attacks = Attacks::default();
        let reported: Vec<_> =
            (0..10).filter(|&second| attacks.record(None, &Actor::Local, at(second))).collect();
        assert_eq!(reported, [4, 9]);
        assert_eq!(attacks.repeated(), 2);
    }
}
