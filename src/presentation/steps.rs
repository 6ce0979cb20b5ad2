//! The turns that a person is asked for, and when.

use std::fmt;

/// A turn of the head, from the person's point of view.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// To the person's left.
    Left,
    /// To the person's right.
    Right,
    /// Upwards.
    Up,
}

impl Turn {
    /// Every turn.
    pub const ALL: [Self; 3] = [Self::Left, Self::Right, Self::Up];

    /// Returns the word for the turn.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Up => "up",
        }
    }
}

/// A turn with the time at which it is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Step {
    /// The turn.
    pub turn: Turn,
    /// Milliseconds since the session was opened.
    pub at_ms: u32,
}

/// The two steps of a session: different turns, at random times. At least one of two different turns is to a side, where
/// the landmarks tell a head from a picture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Steps([Step; 2]);

/// A stored text that states no steps.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected two different turns with their times, such as `left 1500 up 4100`")]
pub struct InvalidSteps;

impl Steps {
    /// The pause before the first step, in milliseconds: its least, and its range.
    const FIRST: (u32, u32) = (1200, 1000);

    /// The pause between the steps, likewise.
    const BETWEEN: (u32, u32) = (2000, 1200);

    /// The time for the last step, in milliseconds.
    const LAST: u32 = 2500;

    /// Draws steps from random bytes.
    pub fn draw(random: &[u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = *random;
        let upto = |low, high, most: u32| (u32::from(u16::from_le_bytes([low, high])) * most) >> 16;
        let first = upto(a, b, 3) as usize;
        let second = (first + 1 + upto(c, d, 2) as usize) % 3;
        let at_ms = Self::FIRST.0 + upto(e, f, Self::FIRST.1 + 1);
        let then = at_ms + Self::BETWEEN.0 + upto(g, h, Self::BETWEEN.1 + 1);
        Self([
            Step { turn: Turn::ALL[first], at_ms },
            Step { turn: Turn::ALL[second], at_ms: then },
        ])
    }

    /// Returns the steps in order.
    pub fn both(&self) -> [Step; 2] {
        self.0
    }

    /// Returns the time up to which frames are wanted, in milliseconds since the session was opened.
    pub fn until_ms(&self) -> u32 {
        self.0[1].at_ms + Self::LAST
    }

    /// Parses what `Display` writes.
    ///
    /// # Errors
    /// [`InvalidSteps`].
    pub fn parse(text: &str) -> Result<Self, InvalidSteps> {
        let words: Vec<_> = text.split(' ').collect();
        let [first, at, second, then] = words[..] else { return Err(InvalidSteps) };
        let step = |word: &str, at: &str| {
            let turn = Turn::ALL.into_iter().find(|turn| turn.as_str() == word);
            Some(Step { turn: turn?, at_ms: at.parse().ok()? })
        };
        let (Some(first), Some(second)) = (step(first, at), step(second, then)) else {
            return Err(InvalidSteps);
        };
        let are_steps = first.turn != second.turn
            && first.at_ms < second.at_ms
            && second.at_ms.checked_add(Self::LAST).is_some();
        if are_steps { Ok(Self([first, second])) } else { Err(InvalidSteps) }
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.0;
        let (turn, then) = (first.turn.as_str(), second.turn.as_str());
        write!(f, "{turn} {} {then} {}", first.at_ms, second.at_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn drawn_steps_differ_keep_their_pauses_and_are_read_as_written(random: [u8; 8]) {
            let steps = Steps::draw(&random);
            let [first, second] = steps.both();
            prop_assert_ne!(first.turn, second.turn);
            prop_assert!((1200..=2200).contains(&first.at_ms));
            prop_assert!((2000..=3200).contains(&(second.at_ms - first.at_ms)));
            prop_assert_eq!(Steps::parse(&steps.to_string()), Ok(steps));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            if let Ok(steps) = Steps::parse(&text) {
                prop_assert!(steps.until_ms() > 0);
            }
        }
    }

    #[test]
    fn each_pair_of_turns_is_drawn() {
        let draw = |a: u8, c: u8| Steps::draw(&[0, a, 0, c, 0, 0, 0, 0]).both();
        let all = (0..=255).flat_map(|a| (0..=255).map(move |c| draw(a, c)));
        let pairs: BTreeSet<_> = all.map(|steps| steps.map(|step| step.turn.as_str())).collect();
        assert_eq!(pairs.len(), 6);
    }

    #[test]
    fn other_texts_are_no_steps() {
        for text in [
            "",
            "left 1 up",
            "left 1 left 2",
            "left 2 up 1",
            "left 1 down 2",
            "left 1 up 4294967295",
            "left 1 up 2 ",
        ] {
            assert_eq!(Steps::parse(text), Err(InvalidSteps), "{text:?}");
        }
    }
}
