//! Error rates of presentation attack detection (ISO/IEC 30107-3), with intervals by resampling people.

use super::bootstrap::middle;
use super::random::SplitMix;
use super::rates::Rate;

/// Number of resamples.
const RESAMPLES: u64 = 500;

/// Seed of the resamples; arbitrary, but fixed.
const SEED: u64 = 0x7061_645F_6C69_6B65;

/// Returns the share of presentations that are errors: the APCER of attacks that count as live, or the BPCER of live
/// people who do not. Each presentation has the number of its person, from 0; presentations of one person are not
/// independent, so people are resampled for the interval. `None` if there are none.
pub fn error_rate(presentations: &[(usize, bool)]) -> Option<Rate> {
    let people = presentations.iter().map(|(person, _)| person + 1).max()?;
    let mut counts = vec![(0_u64, 0_u64); people];
    for &(person, is_error) in presentations {
        counts[person].0 += u64::from(is_error);
        counts[person].1 += 1;
    }
    counts.retain(|&(_, shown)| shown > 0);
    let of = |drawn: &mut dyn Iterator<Item = &(u64, u64)>| {
        drawn.fold((0, 0), |(errors, all), (more, shown)| (errors + more, all + shown))
    };
    let (errors, comparisons) = of(&mut counts.iter());
    let share = |(errors, all): (u64, u64)| errors as f64 / all as f64;
    let value = share((errors, comparisons));
    let resample = |number| {
        let mut random = SplitMix::new(SEED, number);
        share(of(&mut counts.iter().map(|_| &counts[random.below(counts.len())])))
    };
    let [low, high] = middle((0..RESAMPLES).map(resample).collect())?;
    let rule_of_three = (3.0 / counts.len() as f64).min(1.0);
    let interval = match errors {
        0 => [0.0, rule_of_three],
        errors if errors == comparisons => [1.0 - rule_of_three, 1.0],
        _ => [low.min(value), high.max(value)],
    };
    let behind = counts.iter().filter(|(errors, _)| *errors > 0).count() as u64;
    Some(Rate { value, interval, errors, comparisons, behind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_counts_presentations_and_its_interval_people() {
        assert_eq!(error_rate(&[]), None);
        let presentation = |number: usize| (number / 10, (number / 10).is_multiple_of(4));
        let of_people: Vec<_> = (0..400).map(presentation).collect();
        let alone: Vec<_> =
            of_people.iter().enumerate().map(|(n, &(_, error))| (n, error)).collect();
        let (of_people, alone) = (error_rate(&of_people).unwrap(), error_rate(&alone).unwrap());
        assert_eq!((of_people.errors, of_people.comparisons, of_people.behind), (100, 400, 10));
        assert!((of_people.value - 0.25).abs() < 1e-12);
        let width = |rate: Rate| rate.interval[1] - rate.interval[0];
        assert!(width(of_people) > 2.0 * width(alone), "{of_people:?} {alone:?}");
    }

    #[test]
    fn rate_without_errors_is_bounded_by_the_rule_of_three() {
        let none: Vec<_> = (0..60).map(|person| (person, false)).collect();
        assert!((error_rate(&none).unwrap().interval[1] - 0.05).abs() < 1e-12);
        let all: Vec<_> = (0..60).map(|person| (person, true)).collect();
        assert!((error_rate(&all).unwrap().interval[0] - 0.95).abs() < 1e-12);
    }
}
