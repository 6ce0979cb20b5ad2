//! Judges the frames of a person who was asked for two turns of the head.
//!
//! A function of what the engine found in each frame and of the steps; nothing is read or stored here.
//! `models/measured/turns.md` has the measurements behind the limits, on simulated frames.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::Decision;
use super::pose::{self, Pose};
use super::steps::{Steps, Turn};
use crate::face::Face;

/// The number of frames of one session.
pub const FRAMES: RangeInclusive<usize> = 8..=16;

/// Longest pause between two frames, in milliseconds; in a longer one, anything could happen unseen.
const LONGEST_PAUSE: u32 = 1500;

/// Fewest frames before the first step.
const FEWEST_STRAIGHT: usize = 2;

/// Largest yaw of a straight frame, in degrees.
const MOST_STRAIGHT_YAW: f64 = 20.0;

/// Least change of yaw that counts as a turn to a side, in degrees as the landmarks state it: about 18 of a head.
const SIDE: f64 = 12.0;

/// Least change of [`Pose::lift`] that counts as a turn upwards.
const UP: f64 = 0.025;

/// Within this time of a step nobody has followed it, in milliseconds.
const REACTION: u32 = 200;

/// Time for a turn back to the middle once the next step is asked for, in milliseconds.
const RETURN: u32 = 1200;

/// Time in which a step must be followed, in milliseconds.
const LATEST: u32 = 3000;

/// Greatest way of a face from one frame to the next, in inter-eye distances.
const MOST_SHIFT: f64 = 2.0;

/// Greatest ratio of the sizes of a face in one frame and the next.
const MOST_GROWTH: f64 = 1.35;

/// Least mean affine residual between straight frame and side views, in inter-eye distances.
const LEAST_RESIDUAL: f64 = 0.025;

/// Least affine residual for each unit of narrowing: a picture narrows as it turns, but its landmarks stay in a plane.
const LEAST_DEPTH: f64 = 0.22;

/// Least narrowing that no expression of a face causes: an open mouth lengthens it.
const NARROW: f64 = 0.2;

/// The time tolerance of the caller's clock, in milliseconds.
const CLOCK_TOLERANCE: u32 = 1000;

/// What the engine found in a frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Milliseconds since the session was opened.
    pub at_ms: u32,
    /// The number of prominent faces.
    pub faces: usize,
    /// The most prominent face, if there is one.
    pub view: Option<View>,
}

/// The most prominent face of a frame.
#[derive(Clone, Debug)]
pub struct View {
    /// Its box and landmarks.
    pub face: Face,
    /// The unified quality score, 0..=100.
    pub quality: u8,
    /// Whether its comparison with the best straight frame reaches the verification threshold.
    pub same_person: bool,
    /// What the PAD networks say of it.
    pub liveness: Liveness,
}

/// What the PAD networks say of a face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Liveness {
    /// There are none.
    NotJudged,
    /// It is too dark, blurred or otherwise unfit to be judged.
    Unreadable,
    /// The live score minus the threshold.
    Margin(f64),
}

/// Why a session is not live.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum TurnReason {
    /// A frame shows no face.
    NoFace,
    /// A frame shows several prominent faces.
    SeveralFaces,
    /// Too few frames, or too long a pause between two.
    TooFewFrames,
    /// Too few frames before the first step show the face from the front.
    NotStraight,
    /// A turn, or a frame, came before it was asked for.
    TooEarly,
    /// A turn that was asked for did not come, or came late.
    NotTurned,
    /// A turn that was not asked for.
    WrongTurn,
    /// The frames show different people.
    OtherPerson,
    /// The face jumps from one frame to the next.
    Discontinuous,
    /// The landmarks move as those of a flat picture.
    Flat,
    /// The best straight frame does not permit a judgment by the PAD networks.
    Unreadable,
    /// The PAD networks take the face for an attack instrument.
    PresentationAttack,
}

impl TurnReason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::NoFace,
        Self::SeveralFaces,
        Self::TooFewFrames,
        Self::NotStraight,
        Self::TooEarly,
        Self::NotTurned,
        Self::WrongTurn,
        Self::OtherPerson,
        Self::Discontinuous,
        Self::Flat,
        Self::Unreadable,
        Self::PresentationAttack,
    ];

    /// Returns the stable word.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoFace => "no_face",
            Self::SeveralFaces => "several_faces",
            Self::TooFewFrames => "too_few_frames",
            Self::NotStraight => "not_straight",
            Self::TooEarly => "too_early",
            Self::NotTurned => "not_turned",
            Self::WrongTurn => "wrong_turn",
            Self::OtherPerson => "other_person",
            Self::Discontinuous => "discontinuous",
            Self::Flat => "flat",
            Self::Unreadable => "unreadable",
            Self::PresentationAttack => "presentation_attack",
        }
    }

    /// Whether the reason is evidence of an attack instrument, and not only a step that was not followed.
    fn is_attack(self) -> bool {
        match self {
            Self::NoFace
            | Self::SeveralFaces
            | Self::TooFewFrames
            | Self::NotStraight
            | Self::TooEarly
            | Self::NotTurned
            | Self::WrongTurn
            | Self::Unreadable => false,
            Self::OtherPerson | Self::Discontinuous | Self::Flat | Self::PresentationAttack => true,
        }
    }
}

/// The result for a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judgment {
    /// The decision.
    pub decision: Decision,
    /// Why the session is not live; empty if it is.
    pub reasons: BTreeSet<TurnReason>,
    /// The index of the best straight frame, if there is one.
    pub best: Option<usize>,
}

impl Judgment {
    fn of(reasons: BTreeSet<TurnReason>, best: Option<usize>) -> Self {
        let decision = if reasons.is_empty() {
            Decision::Live
        } else if reasons.iter().any(|reason| reason.is_attack()) {
            Decision::Attack
        } else {
            Decision::Uncertain
        };
        Self { decision, reasons, best }
    }
}

/// A frame with a face, and what its landmarks state.
struct Sample<'a> {
    at_ms: u32,
    view: &'a View,
    pose: Pose,
}

/// Returns the index of the frame of best quality among those before the first step that show one face from the front.
pub fn best_straight_frame(frames: &[Frame], steps: &Steps) -> Option<usize> {
    let [first, _] = steps.both();
    let straight = frames.iter().enumerate().filter_map(|(index, frame)| {
        let view = frame.view.as_ref().filter(|_| frame.faces == 1)?;
        let yaw = Pose::of(view.face.landmarks()).yaw;
        let is_straight = frame.at_ms <= first.at_ms && yaw.abs() <= MOST_STRAIGHT_YAW;
        is_straight.then_some((index, view.quality))
    });
    // Of equal ones the first.
    straight.reduce(|a, b| if b.1 > a.1 { b } else { a }).map(|(index, _)| index)
}

/// Judges the frames of a session in the order of their times. `elapsed_ms` is how long ago it was opened.
pub fn judge(frames: &[Frame], steps: &Steps, elapsed_ms: u64) -> Judgment {
    let best = best_straight_frame(frames, steps);
    let mut reasons = BTreeSet::new();
    let samples: Vec<_> = frames.iter().filter_map(sample).collect();
    if frames.iter().any(|frame| frame.faces > 1) {
        reasons.insert(TurnReason::SeveralFaces);
    }
    if samples.len() < frames.len() {
        reasons.insert(TurnReason::NoFace);
    }
    if !are_dense(frames, steps) {
        reasons.insert(TurnReason::TooFewFrames);
    }
    let last = frames.last().map_or(0, |frame| u64::from(frame.at_ms));
    if last > elapsed_ms + u64::from(CLOCK_TOLERANCE) {
        reasons.insert(TurnReason::TooEarly);
    }
    let reference = best.and_then(|best| frames[best].view.as_ref());
    let (Some(reference), true) = (reference, reasons.is_empty()) else {
        if best.is_none() {
            reasons.insert(TurnReason::NotStraight);
        }
        return Judgment::of(reasons, best);
    };
    if !samples.iter().all(|sample| sample.view.same_person) {
        reasons.insert(TurnReason::OtherPerson);
    }
    if !samples.windows(2).all(|pair| is_continuous(&pair[0], &pair[1], reference)) {
        reasons.insert(TurnReason::Discontinuous);
    }
    reasons.extend(missed_steps(&samples, steps));
    if is_flat(&samples, steps, reference) {
        reasons.insert(TurnReason::Flat);
    }
    reasons.extend(not_live(&samples, reference));
    Judgment::of(reasons, best)
}

/// Returns why the mean live score of the frames does not say live, if it does not.
fn not_live(samples: &[Sample<'_>], reference: &View) -> Option<TurnReason> {
    let margins: Vec<_> = samples
        .iter()
        .filter_map(|sample| match sample.view.liveness {
            Liveness::Margin(margin) => Some(margin),
            Liveness::NotJudged | Liveness::Unreadable => None,
        })
        .collect();
    match reference.liveness {
        Liveness::NotJudged => None,
        Liveness::Unreadable => Some(TurnReason::Unreadable),
        Liveness::Margin(_) => {
            (margins.iter().sum::<f64>() < 0.0).then_some(TurnReason::PresentationAttack)
        }
    }
}

fn sample(frame: &Frame) -> Option<Sample<'_>> {
    let view = frame.view.as_ref()?;
    Some(Sample { at_ms: frame.at_ms, view, pose: Pose::of(view.face.landmarks()) })
}

/// Whether there are frames of the whole time, none of them out of order.
fn are_dense(frames: &[Frame], steps: &Steps) -> bool {
    let [_, second] = steps.both();
    let pause = |pair: &[Frame]| pair[1].at_ms.checked_sub(pair[0].at_ms);
    let are_close = |pair| pause(pair).is_some_and(|pause| (1..=LONGEST_PAUSE).contains(&pause));
    FRAMES.contains(&frames.len())
        && frames[0].at_ms <= LONGEST_PAUSE
        && frames[frames.len() - 1].at_ms >= second.at_ms + REACTION
        && frames.windows(2).all(are_close)
}

/// Whether a face may have moved like this between two frames.
fn is_continuous(before: &Sample<'_>, after: &Sample<'_>, reference: &View) -> bool {
    let [from, to] = [before, after].map(|sample| pose::center(sample.view.face.landmarks()));
    let unit = pose::eye_distance(reference.face.landmarks());
    let [small, large] = [before, after].map(|sample| {
        let bounds = sample.view.face.bounds();
        (bounds.width * bounds.height).sqrt()
    });
    let growth = (large / small).max(small / large);
    f64::hypot(to.x - from.x, to.y - from.y) <= MOST_SHIFT * unit && growth <= MOST_GROWTH
}

/// Returns where a head is turned, compared with the straight frames: the turn that exceeds its limit most.
fn turn_of(pose: &Pose, straight: &Pose) -> Option<Turn> {
    let yaw = (pose.yaw - straight.yaw) / SIDE;
    let lift = (pose.lift - straight.lift) / UP;
    let side = if yaw > 0.0 { Turn::Left } else { Turn::Right };
    let (turn, share) = if lift > yaw.abs() { (Turn::Up, lift) } else { (side, yaw.abs()) };
    (share >= 1.0).then_some(turn)
}

/// Returns how the steps were not followed.
fn missed_steps(samples: &[Sample<'_>], steps: &Steps) -> BTreeSet<TurnReason> {
    let [first, second] = steps.both();
    let mut reasons = BTreeSet::new();
    let (before, after): (Vec<_>, Vec<_>) =
        samples.iter().partition(|sample| sample.at_ms < first.at_ms + REACTION);
    let poses: Vec<_> = before.iter().map(|sample| sample.pose).collect();
    if poses.len() < FEWEST_STRAIGHT {
        return BTreeSet::from([TurnReason::TooFewFrames]);
    }
    let straight = Pose::mean(&poses);
    if straight.yaw.abs() > MOST_STRAIGHT_YAW {
        reasons.insert(TurnReason::NotStraight);
    }
    if poses.iter().any(|pose| turn_of(pose, &straight).is_some()) {
        reasons.insert(TurnReason::TooEarly);
    }
    let mut followed = [false; 2];
    for sample in after {
        let Some(turn) = turn_of(&sample.pose, &straight) else { continue };
        let is_second = sample.at_ms >= second.at_ms + REACTION;
        let step = if is_second { second } else { first };
        if turn == step.turn {
            followed[usize::from(is_second)] |= sample.at_ms <= step.at_ms + LATEST;
        } else if is_second && turn == first.turn {
            if sample.at_ms > second.at_ms + RETURN {
                reasons.insert(TurnReason::WrongTurn);
            }
        } else if turn == second.turn {
            reasons.insert(TurnReason::TooEarly);
        } else {
            reasons.insert(TurnReason::WrongTurn);
        }
    }
    if followed != [true; 2] {
        reasons.insert(TurnReason::NotTurned);
    }
    reasons
}

/// Whether the landmarks move as those of a picture: in the frames where a head would show a side, or where the face is far
/// narrower, they stay in a plane.
fn is_flat(samples: &[Sample<'_>], steps: &Steps, reference: &View) -> bool {
    let [first, _] = steps.both();
    let straight = Pose::of(reference.face.landmarks());
    let (mut sides, mut narrow) = (Vec::new(), Vec::new());
    for sample in samples.iter().filter(|sample| sample.at_ms >= first.at_ms) {
        let landmarks = sample.view.face.landmarks();
        let residual = pose::affine_residual(landmarks, reference.face.landmarks());
        let narrowing = 1.0 - sample.pose.breadth / straight.breadth;
        if matches!(turn_of(&sample.pose, &straight), Some(Turn::Left | Turn::Right)) {
            sides.push([residual, narrowing]);
        }
        if narrowing >= NARROW {
            narrow.push([residual, narrowing]);
        }
    }
    // Means, for single landmarks are noisy.
    let lies_in_a_plane = |frames: &[[f64; 2]], least: f64| {
        let [residual, narrowing] = frames.iter().fold([0.0; 2], |[a, b], [c, d]| [a + c, b + d]);
        let count = frames.len() as f64;
        residual < least * count || residual < LEAST_DEPTH * narrowing
    };
    lies_in_a_plane(&sides, LEAST_RESIDUAL) || lies_in_a_plane(&narrow, 0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::face::{Bounds, Point};

    /// The landmarks of a head whose eyes are 1 apart: to the right, down, and out of the plane of eyes and mouth.
    const HEAD: [[f64; 3]; 5] = [
        [-0.5, 0.0, 0.0],
        [0.5, 0.0, 0.0],
        [0.0, 0.57, 0.45],
        [-0.41, 1.16, 0.0],
        [0.41, 1.16, 0.0],
    ];

    /// The same in a print.
    const PRINT: [[f64; 3]; 5] = {
        let mut print = HEAD;
        print[2][2] = 0.0;
        print
    };

    /// How far the axis of a turn lies behind the face, and the camera before it.
    const AXIS: f64 = 1.2;
    const DISTANCE: f64 = 8.0;

    /// What is filmed, and how it moves.
    #[derive(Clone, Debug)]
    struct Scene {
        points: [[f64; 3]; 5],
        /// Degrees to a side, and upwards.
        angles: (f64, f64),
        /// Milliseconds from a step to the turn's start.
        delay: i64,
        eyes: f64,
        /// Random values, -1..=1.
        noise: Vec<f64>,
    }

    impl Scene {
        fn of(points: [[f64; 3]; 5]) -> Self {
            Self { points, angles: (30.0, 20.0), delay: 400, eyes: 60.0, noise: vec![0.0] }
        }

        /// Returns yaw and pitch, in degrees, at a time.
        fn angles_at(&self, at: i64, steps: &Steps) -> (f64, f64) {
            const DURATION: f64 = 400.0;
            let [first, second] = steps.both();
            let begun = |step: i64| ((at - step - self.delay) as f64 / DURATION).clamp(0.0, 1.0);
            let then = begun(second.at_ms.into());
            [(first.turn, begun(first.at_ms.into()) - then), (second.turn, then)].iter().fold(
                (0.0, 0.0),
                |(yaw, pitch), (turn, share)| match turn {
                    Turn::Left => (yaw + share * self.angles.0, pitch),
                    Turn::Right => (yaw - share * self.angles.0, pitch),
                    Turn::Up => (yaw, pitch + share * self.angles.1),
                },
            )
        }

        fn view(&self, (yaw, pitch): (f64, f64), index: usize) -> View {
            let (sin, cos) = yaw.to_radians().sin_cos();
            let (rise, level) = pitch.to_radians().sin_cos();
            let mut noise = self.noise.iter().cycle().skip(11 * index);
            let mut wobble = || 0.004 * noise.next().unwrap();
            let landmarks = self.points.map(|[x, y, z]| {
                let (out, y) = (z + AXIS, y - 0.6);
                let (y, out) = (y * level - out * rise, out * level + y * rise);
                let (x, out) = (x * cos + out * sin, out * cos - x * sin);
                let scale = self.eyes * DISTANCE / (DISTANCE + AXIS - out);
                Point {
                    x: 200.0 + scale * x + self.eyes * wobble(),
                    y: 180.0 + scale * y + self.eyes * wobble(),
                }
            });
            let (x, y) = (landmarks[2].x - self.eyes, landmarks[2].y - 1.3 * self.eyes);
            let bounds = Bounds { x, y, width: 2.0 * self.eyes, height: 2.6 * self.eyes };
            let face = Face::new(bounds, landmarks, 0.9).unwrap();
            View { face, quality: 80, same_person: true, liveness: Liveness::NotJudged }
        }

        fn filmed(&self, steps: &Steps) -> Vec<Frame> {
            let times = (0..).map(|index| index * 500).take_while(|at| *at <= steps.until_ms());
            let frame = |(index, at_ms): (usize, u32)| {
                let view = self.view(self.angles_at(at_ms.into(), steps), index);
                Frame { at_ms, faces: 1, view: Some(view) }
            };
            times.enumerate().map(frame).collect()
        }
    }

    fn in_order(first: Turn, second: Turn) -> Steps {
        Steps::parse(&format!("{} 1700 {} 4300", first.as_str(), second.as_str())).unwrap()
    }

    fn pairs() -> impl Iterator<Item = Steps> {
        let of = |first| Turn::ALL.into_iter().map(move |second| (first, second));
        let pairs = Turn::ALL.into_iter().flat_map(of).filter(|(first, second)| first != second);
        pairs.map(|(first, second)| in_order(first, second))
    }

    fn judged(frames: &[Frame], steps: &Steps) -> Judgment {
        judge(frames, steps, steps.until_ms().into())
    }

    fn refused(frames: &[Frame], steps: &Steps, decision: Decision, reason: TurnReason) {
        let judgment = judged(frames, steps);
        assert_eq!(judgment.decision, decision, "{steps} {judgment:?}");
        assert!(judgment.reasons.contains(&reason), "{steps} {judgment:?}");
    }

    use super::Decision::{Attack, Uncertain};

    #[test]
    fn head_that_follows_each_pair_of_steps_is_live() {
        assert_eq!(pairs().count(), 6);
        for steps in pairs() {
            let judgment = judged(&Scene::of(HEAD).filmed(&steps), &steps);
            assert_eq!(judgment.decision, Decision::Live, "{steps} {judgment:?}");
            assert!(judgment.best.is_some_and(|best| best < 4), "{judgment:?}");
        }
    }

    #[test]
    fn best_straight_frame_is_the_one_of_best_quality_before_the_first_step() {
        let steps = in_order(Turn::Left, Turn::Up);
        let mut frames = Scene::of(HEAD).filmed(&steps);
        for (frame, quality) in frames.iter_mut().zip([60, 75, 75, 70, 99]) {
            frame.view.as_mut().unwrap().quality = quality;
        }
        assert_eq!(best_straight_frame(&frames, &steps), Some(1));
        frames[1].faces = 2;
        assert_eq!(best_straight_frame(&frames, &steps), Some(2));
        assert_eq!(best_straight_frame(&frames[4..], &steps), None);
    }

    #[test]
    fn turned_print_is_an_attack() {
        for steps in pairs() {
            let print = Scene { angles: (45.0, 35.0), ..Scene::of(PRINT) };
            refused(&print.filmed(&steps), &steps, Attack, TurnReason::Flat);
        }
    }

    #[test]
    fn still_head_is_not_live() {
        for steps in pairs() {
            let still = Scene { angles: (0.0, 0.0), ..Scene::of(HEAD) };
            refused(&still.filmed(&steps), &steps, Uncertain, TurnReason::NotTurned);
        }
    }

    #[test]
    fn steps_in_another_order_are_not_followed() {
        for steps in pairs() {
            let [first, second] = steps.both().map(|step| step.turn);
            let swapped = in_order(second, first);
            let judgment = judged(&Scene::of(HEAD).filmed(&swapped), &steps);
            assert_eq!(judgment.decision, Uncertain, "{steps} {judgment:?}");
            assert!(judgment.reasons.contains(&TurnReason::TooEarly), "{steps} {judgment:?}");
            let others = Turn::ALL.into_iter().find(|turn| *turn != first && *turn != second);
            let wrong = in_order(first, others.unwrap());
            refused(&Scene::of(HEAD).filmed(&wrong), &steps, Uncertain, TurnReason::WrongTurn);
        }
    }

    #[test]
    fn turns_before_or_long_after_their_steps_do_not_count() {
        for steps in pairs() {
            let early = Scene { delay: -900, ..Scene::of(HEAD) };
            refused(&early.filmed(&steps), &steps, Uncertain, TurnReason::TooEarly);
            let late = Scene { delay: 2600, ..Scene::of(HEAD) };
            refused(&late.filmed(&steps), &steps, Uncertain, TurnReason::NotTurned);
        }
        let steps = in_order(Turn::Left, Turn::Up);
        let frames = Scene::of(HEAD).filmed(&steps);
        let judgment = judge(&frames, &steps, 2000);
        assert_eq!(judgment.reasons, BTreeSet::from([TurnReason::TooEarly]), "not yet possible");
    }

    #[test]
    fn two_people_jumps_and_the_networks_attacks_are_attacks() {
        for steps in pairs() {
            let frames = Scene::of(HEAD).filmed(&steps);
            let mut other = frames.clone();
            other[7].view.as_mut().unwrap().same_person = false;
            refused(&other, &steps, Attack, TurnReason::OtherPerson);
            let mut screen = frames.clone();
            for (index, frame) in screen.iter_mut().enumerate() {
                let margin = if index % 3 == 0 { 1.0 } else { -1.0 };
                frame.view.as_mut().unwrap().liveness = Liveness::Margin(margin);
            }
            refused(&screen, &steps, Attack, TurnReason::PresentationAttack);
            for frame in &mut screen {
                frame.view.as_mut().unwrap().liveness = Liveness::Unreadable;
            }
            refused(&screen, &steps, Uncertain, TurnReason::Unreadable);
            for at in [2, 6] {
                let mut jumping = frames.clone();
                let far = Scene { eyes: 110.0, ..Scene::of(HEAD) };
                for (frame, far) in jumping.iter_mut().zip(far.filmed(&steps)).skip(at) {
                    frame.view = far.view;
                }
                refused(&jumping, &steps, Attack, TurnReason::Discontinuous);
            }
        }
    }

    #[test]
    fn what_cannot_be_judged_is_uncertain() {
        let steps = in_order(Turn::Right, Turn::Up);
        let frames = Scene::of(HEAD).filmed(&steps);
        let mut empty = frames.clone();
        (empty[5].faces, empty[5].view) = (0, None);
        refused(&empty, &steps, Uncertain, TurnReason::NoFace);
        let mut crowd = frames.clone();
        crowd[5].faces = 2;
        refused(&crowd, &steps, Uncertain, TurnReason::SeveralFaces);
        let missing: Vec<_> =
            frames.iter().enumerate().filter(|(i, _)| !(4..8).contains(i)).collect();
        let missing: Vec<_> = missing.into_iter().map(|(_, frame)| frame.clone()).collect();
        refused(&missing, &steps, Uncertain, TurnReason::TooFewFrames);
        refused(&frames[..9], &steps, Uncertain, TurnReason::TooFewFrames);
        refused(&frames[4..], &steps, Uncertain, TurnReason::NotStraight);
        let mut swapped = frames.clone();
        swapped.swap(3, 4);
        refused(&swapped, &steps, Uncertain, TurnReason::TooFewFrames);
        refused(&[], &steps, Uncertain, TurnReason::NotStraight);
    }

    fn noise() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-1.0_f64..1.0, 97)
    }

    proptest! {
        #[test]
        fn heads_that_follow_are_live(
            random: [u8; 8], side in 22.0_f64..45.0, up in 12.0_f64..30.0, delay in 250_i64..800,
            eyes in 20.0_f64..300.0, noise in noise(),
        ) {
            let steps = Steps::draw(&random);
            let scene = Scene { points: HEAD, angles: (side, up), delay, eyes, noise };
            let judgment = judged(&scene.filmed(&steps), &steps);
            prop_assert_eq!(judgment.decision, Decision::Live, "{} {:?}", steps, judgment);
        }

        #[test]
        fn prints_are_not_live(
            random: [u8; 8], side in 0.0_f64..65.0, up in 0.0_f64..50.0, delay in 250_i64..800,
            eyes in 20.0_f64..300.0, noise in noise(),
        ) {
            let steps = Steps::draw(&random);
            let scene = Scene { points: PRINT, angles: (side, up), delay, eyes, noise };
            let judgment = judged(&scene.filmed(&steps), &steps);
            prop_assert_ne!(judgment.decision, Decision::Live, "{} {:?}", steps, judgment);
        }

        #[test]
        fn any_frames_are_judged(
            random: [u8; 8], times in prop::collection::vec((any::<u32>(), 0_usize..4), 0..18), elapsed: u64,
            values in prop::collection::vec(-1e6_f64..1e6, 10),
        ) {
            let steps = Steps::draw(&random);
            let face = |k: usize| {
                let point = |i: usize| Point { x: values[(i + k) % 10], y: values[(3 * i + k) % 10] };
                let bounds = Bounds { x: 0.0, y: 0.0, width: 1.0, height: 1.0 };
                Face::new(bounds, [0, 1, 2, 3, 4].map(point), 0.9)
            };
            let frames: Vec<_> = times
                .iter()
                .enumerate()
                .map(|(k, &(at_ms, faces))| {
                    let view = face(k).filter(|_| faces > 0);
                    let of = |face| View { face, quality: 1, same_person: true, liveness: Liveness::NotJudged };
                    Frame { at_ms, faces, view: view.map(of) }
                })
                .collect();
            let judgment = judge(&frames, &steps, elapsed);
            let is_live = judgment.decision == Decision::Live;
            prop_assert_eq!(is_live, judgment.reasons.is_empty());
        }
    }
}
