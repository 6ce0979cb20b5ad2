//! The tail of the impostor scores that the thresholds of each model's gallery are fitted to, one row a model.

use jiff::Timestamp;

use super::{Store, StoreError, audit};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::embedding::ModelId;
use crate::evaluation::Tail;

/// The tail in use for a model's gallery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredTail {
    /// Counts the tails of this model, from 1.
    pub number: i64,
    /// The tail.
    pub tail: Option<Tail>,
}

#[derive(sqlx::FromRow)]
struct TailRow {
    number: i64,
    people: i64,
    level: f64,
    slope: f64,
}

impl Store {
    /// Returns the tail in use for a model's gallery, if one was ever fitted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn impostor_tail(&self, model: ModelId) -> Result<Option<StoredTail>, StoreError> {
        let row: Option<TailRow> = sqlx::query_as(
            "select number, people, level, slope from impostor_tail where model_id = $1",
        )
        .bind(model.as_bytes().as_slice())
        .fetch_optional(&self.data.readers)
        .await?;
        let row = row.map(|TailRow { number, people, level, slope }| {
            let people = people as usize;
            StoredTail { number, tail: (people > 0).then_some(Tail { people, level, slope }) }
        });
        Ok(row)
    }

    /// Replaces the tail in use, with an audit event, if it is still the one of this number; `false` otherwise. No tail
    /// means that too few people are enrolled.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    pub async fn replace_impostor_tail(
        &self,
        model: ModelId,
        number: Option<i64>,
        tail: Option<Tail>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let none = Tail { people: 0, level: 0.0, slope: 1.0 };
        let Tail { people, level, slope } = tail.unwrap_or(none);
        let mut tx = self.data.begin().await?;
        let written = sqlx::query(
            "insert into impostor_tail (model_id, number, people, level, slope, fitted_at)
             values ($1, $2 + 1, $3, $4, $5, $6)
             on conflict (model_id) do update set
                number = excluded.number, people = excluded.people, level = excluded.level,
                slope = excluded.slope, fitted_at = excluded.fitted_at
             where impostor_tail.number = $2",
        )
        .bind(model.as_bytes().as_slice())
        .bind(number.unwrap_or(0))
        .bind(people as i64)
        .bind(level)
        .bind(slope)
        .bind(now.as_millisecond())
        .execute(&mut *tx)
        .await?;
        if written.rows_affected() == 0 {
            return Ok(false);
        }
        let event = Event {
            at: now,
            actor: Actor::Service,
            action: Action::FitThreshold,
            outcome: Outcome::Done,
            subject: None,
        };
        audit::append(&mut tx, &self.audit, &[event]).await?;
        tx.commit().await?;
        Ok(true)
    }
}
