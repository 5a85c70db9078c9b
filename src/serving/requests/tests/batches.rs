//! Requests that share a call.

use proptest::prelude::*;

use super::*;
use crate::serving::requests::{Observation, Observer};

/// Every request is answered in a batch, one at a time.
fn batching(core: ServerCoreBuilder) -> ServerCoreBuilder {
    core.limits(Limits::default().max_concurrency(1))
        .batching(Batching::default().adaptive(false))
}

fn waiting(stage: &Stage, n: usize) {
    // The gauge exists once the model has had a request.
    let queue = "fourfold_queue_length{model=\"model\"}";
    until(|| stage.samples().get(queue) == Some(&(n as f64)));
}

#[test]
fn what_gathers_while_a_batch_is_computed_is_the_next_batch() {
    let (stage, [script]) = Stage::with(["model"], batching);
    warm(&stage, "model");
    script.close();
    let first = stage.ask("model", &[1.0]);
    until(|| script.running() == 1);
    let others: Vec<Pending> = (0..10)
        .map(|i| stage.ask("model", &[f64::from(i), 0.5]))
        .collect();
    waiting(&stage, 10);
    script.open();
    assert_eq!(first.answer().unwrap(), [3.0]);
    for (i, asked) in others.into_iter().enumerate() {
        assert_eq!(asked.answer().unwrap(), expected(&[i as f64, 0.5]));
    }
    assert_eq!(script.calls()[8..], [1, 20]);
}

#[test]
fn a_batch_has_no_more_rows_than_it_may_and_requests_are_not_split() {
    let (stage, [script]) = Stage::with(["model"], |core| {
        batching(core).batching(Batching::default().adaptive(false).max_batch_size(7))
    });
    warm(&stage, "model");
    script.close();
    let mut asked = vec![stage.ask("model", &[1.0])];
    until(|| script.running() == 1);
    asked.extend((0..6).map(|_| stage.ask("model", &[1.0; 3])));
    waiting(&stage, 6);
    script.open();
    for asked in asked {
        asked.answer().unwrap();
    }
    assert_eq!(script.calls()[8..], [1, 6, 6, 6]);
    // Requests with as many rows as a batch, or more, are answered alone.
    assert_eq!(stage.answer("model", &[1.0; 9]).unwrap(), [3.0; 9]);
    assert_eq!(script.calls().last(), Some(&9));
}

#[test]
fn one_that_poisons_a_batch_fails_alone() {
    for poison in [FAILS, PANICS, IS_NAN] {
        let (stage, [script]) = Stage::with(["model"], batching);
        warm(&stage, "model");
        script.close();
        let first = stage.ask("model", &[1.0]);
        until(|| script.running() == 1);
        let good: Vec<Pending> = (0..3)
            .map(|i| stage.ask("model", &[f64::from(i)]))
            .collect();
        let bad = stage.ask("model", &[1.0, poison]);
        waiting(&stage, 4);
        script.open();
        first.answer().unwrap();
        for (i, asked) in good.into_iter().enumerate() {
            assert_eq!(asked.answer().unwrap(), expected(&[i as f64]));
        }
        let error = bad.answer().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model);
        if poison == IS_NAN {
            assert_eq!(error.to_string(), "the model answered NaN for row 1");
        }
    }
}

#[test]
fn one_that_is_gone_is_left_out() {
    let (stage, [script]) = Stage::with(["model"], batching);
    warm(&stage, "model");
    script.close();
    let first = stage.ask("model", &[1.0]);
    until(|| script.running() == 1);
    let stays = stage.ask("model", &[2.0]);
    let goes = stage.ask("model", &[3.0, 4.0, 5.0]);
    waiting(&stage, 2);
    goes.cancel();
    until(|| stage.samples()["fourfold_requests_in_flight{model=\"model\"}"] == 2.0);
    script.open();
    first.answer().unwrap();
    assert_eq!(stays.answer().unwrap(), [5.0]);
    assert_eq!(script.calls()[8..], [1, 1]);
}

/// Takes a while with every answer.
#[derive(Debug)]
struct Slow;

impl Observer for Slow {
    fn observe(&self, _: &Observation<'_>) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_was_computed_is_answered_however_many_wait() {
    let (stage, [script]) = Stage::with(["model"], |core| {
        batching(core)
            .limits(Limits::default().max_concurrency(1).max_queue(0))
            .batching(
                Batching::default()
                    .adaptive(false)
                    .max_batch_size(8)
                    .max_delay(Duration::from_micros(10_000_000)),
            )
            .observer(Arc::new(Slow))
    });
    let asked: Vec<Pending> = (0..8)
        .map(|i| {
            let asked = stage.ask("model", &[f64::from(i)]);
            if i < 7 {
                waiting(&stage, i as usize + 1);
            }
            asked
        })
        .collect();
    for (i, asked) in asked.into_iter().enumerate() {
        assert_eq!(asked.answer().unwrap(), expected(&[i as f64]));
    }
    assert_eq!(script.calls(), [8]);
}

#[test]
fn one_that_is_gone_takes_no_room_in_the_queue() {
    let (stage, [script]) = Stage::with(["model"], |core| {
        batching(core).batching(Batching::default().adaptive(false).max_enqueued(2))
    });
    warm(&stage, "model");
    script.close();
    let first = stage.ask("model", &[1.0]);
    until(|| script.running() == 1);
    let gone = [2.0, 3.0].map(|x| stage.ask("model", &[x]));
    waiting(&stage, 2);
    gone.into_iter().for_each(Pending::cancel);
    until(|| stage.samples()["fourfold_requests_in_flight{model=\"model\"}"] == 1.0);
    let stays = stage.ask("model", &[4.0]);
    until(|| {
        stays.is_answered() || stage.samples()["fourfold_queue_length{model=\"model\"}"] == 1.0
    });
    script.open();
    assert_eq!(first.answer().unwrap(), [3.0]);
    assert_eq!(stays.answer().unwrap(), [9.0]);
    assert_eq!(script.calls()[8..], [1, 1]);
}

#[test]
fn the_queue_of_batches_is_bounded() {
    let (stage, [script]) = Stage::with(["model"], |core| {
        batching(core).batching(Batching::default().adaptive(false).max_enqueued(2))
    });
    warm(&stage, "model");
    script.close();
    let mut asked = vec![stage.ask("model", &[1.0])];
    until(|| script.running() == 1);
    asked.extend((0..2).map(|_| stage.ask("model", &[1.0])));
    waiting(&stage, 2);
    let error = stage.answer("model", &[1.0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert_eq!(
        error.to_string(),
        "model `model` is at capacity: 2 requests are queued for a batch"
    );
    script.open();
    for asked in asked {
        asked.answer().unwrap();
    }
}

#[test]
fn the_first_of_a_batch_may_wait_for_others() {
    let (stage, [script]) = Stage::with(["model"], |core| {
        let delayed = Batching::default()
            .adaptive(false)
            .max_batch_size(4)
            .max_delay(Duration::from_micros(10_000_000));
        batching(core).batching(delayed)
    });
    // None of these is answered before there are four rows.
    let asked: Vec<Pending> = (0..4)
        .map(|i| stage.ask("model", &[f64::from(i)]))
        .collect();
    for (i, asked) in asked.into_iter().enumerate() {
        assert_eq!(asked.answer().unwrap(), expected(&[i as f64]));
    }
    assert_eq!(script.calls(), [4]);
}

#[test]
fn quick_models_are_not_batched_and_slow_ones_are() {
    let (stage, [script]) = Stage::with(["model"], |core| {
        core.limits(Limits::default().max_concurrency(1))
    });
    warm(&stage, "model");
    let quick = script.calls().len();
    assert_eq!(quick, 8);
    script.take(Duration::from_millis(3));
    warm(&stage, "model");
    warm(&stage, "model");
    script.close();
    let mut asked = vec![stage.ask("model", &[1.0])];
    until(|| script.running() == 1);
    asked.extend((0..12).map(|_| stage.ask("model", &[1.0])));
    waiting(&stage, 12);
    script.open();
    for asked in asked {
        asked.answer().unwrap();
    }
    let calls = script.calls();
    assert!(calls.iter().any(|rows| *rows >= 10), "{calls:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever comes together with whatever: each request gets the answers to its own rows, to the bit.
    #[test]
    fn every_request_gets_its_own_answers(
        requests in prop::collection::vec(prop::collection::vec(-1e3..1e3_f64, 1..9), 1..60),
        max_batch_size in 2..40_usize,
        delay in prop::sample::select(vec![0_u64, 200]),
        max_concurrency in 1..4_usize,
    ) {
        let (stage, _) = Stage::with(["model"], |core| {
            let batching = Batching::default()
                .adaptive(false)
                .max_batch_size(max_batch_size)
                .max_delay(Duration::from_micros(delay));
            let limits = Limits::default().max_concurrency(max_concurrency);
            core.limits(limits).batching(batching)
        });
        let alone = stage.core.manager().get("model", None).unwrap();
        let asked: Vec<Pending> = requests.iter().map(|xs| stage.ask("model", xs)).collect();
        for (xs, asked) in requests.iter().zip(asked) {
            let own = alone.predict(&rows(xs)).unwrap();
            let own: Vec<f64> = own.outputs().iter().copied().collect();
            prop_assert_eq!(asked.answer().unwrap(), own);
        }
    }
}
