//! The phases of a connection, and who waits for whom.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn activity() -> (Arc<Activity>, Arc<Clock>, Patience) {
    let patience = Patience::new(10 * SECOND, 75 * SECOND);
    let clock = Arc::new(Clock::new(patience));
    let activity = Arc::new(Activity::new(Arc::clone(&clock), 10));
    (activity, clock, patience)
}

fn phase(activity: &Activity) -> u8 {
    activity.phase.load(Relaxed)
}

#[test]
fn a_request_goes_from_its_head_to_what_is_written() {
    let (activity, clock, patience) = activity();
    assert_eq!(phase(&activity), HEAD);
    let mut request = activity.begin();
    assert_eq!(phase(&activity), BUSY);
    assert!(activity.half_close() && activity.is_half_closed());
    let reading = activity.read();
    assert_eq!(phase(&activity), READING);
    (0..100).for_each(|_| _ = clock.advance());
    assert_eq!(activity.verdict(clock.now(), patience), Verdict::Stay);
    assert_eq!(activity.makes_room(clock.now()), Some((0, 100)));
    drop(reading);
    assert_eq!(phase(&activity), BUSY);
    assert_eq!(activity.makes_room(clock.now()), None);
    request.set_answered(true);
    let part = activity.write(1);
    drop(request);
    assert_eq!(phase(&activity), WRITING, "it is not written yet");
    assert!(activity.is_answering());
    (0..76).for_each(|_| _ = clock.advance());
    assert_eq!(activity.verdict(clock.now(), patience), Verdict::Close);
    drop(part);
    assert_eq!(phase(&activity), IDLE);
    assert_eq!(activity.verdict(clock.now(), patience), Verdict::Stay);
    assert_eq!(activity.requests.load(Relaxed), 0);
}

#[test]
fn one_who_takes_a_little_of_its_answer_now_and_then_is_a_burden_all_the_same() {
    let (activity, clock, patience) = activity();
    let mut request = activity.begin();
    activity.hold(5);
    request.set_answered(true);
    assert_eq!(activity.burden(clock.now()), None, "it has just begun");
    for _ in 0..100 {
        clock.advance();
        activity.has_written(1);
    }
    assert_eq!(activity.verdict(clock.now(), patience), Verdict::Stay);
    assert_eq!(activity.makes_room(clock.now()), None);
    assert_eq!(activity.burden(clock.now()), Some(5));
}

#[test]
fn one_who_reads_nothing_and_asks_for_more_is_waited_for_all_the_same() {
    let (activity, clock, patience) = activity();
    activity.set_multiplexed();
    let mut first = activity.begin();
    activity.hold(5);
    first.set_answered(true);
    let part = activity.write(5);
    let _second = activity.begin();
    (0..2).for_each(|_| _ = clock.advance());
    assert_eq!(phase(&activity), BUSY);
    assert_eq!(activity.burden(clock.now()), Some(5));
    assert_eq!(activity.makes_room(clock.now()), Some((0, 2)));
    for _ in 0..80 {
        clock.advance();
        activity.has_written(PROGRESS - 1);
    }
    assert_eq!(activity.verdict(clock.now(), patience), Verdict::Close);
    activity.has_written(PROGRESS);
    assert_eq!(activity.verdict(clock.now(), patience), Verdict::Stay);
    assert_eq!(activity.burden(clock.now()), Some(5));
    drop(part);
    assert_eq!(activity.burden(clock.now()), None);
    assert_eq!(activity.makes_room(clock.now()), None);
}

#[test]
fn who_ends_its_half_long_after_asking_has_left() {
    let (activity, clock, _) = activity();
    let _request = activity.begin();
    (0..3).for_each(|_| _ = clock.advance());
    assert!(!activity.half_close() && !activity.is_half_closed());
}
