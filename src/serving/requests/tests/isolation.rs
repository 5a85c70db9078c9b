//! A model that is slow, hangs or fails is alone with that.

use super::*;
use crate::serving::requests::{Observation, Observer};

#[test]
fn a_model_that_hangs_holds_neither_threads_nor_other_models() {
    let (stage, [slow, quick]) = Stage::with(["slow", "quick"], |core| {
        core.limits(Limits::default().max_concurrency(2).max_queue(100))
    });
    slow.close();
    let asked: Vec<Pending> = (0..50)
        .map(|i| stage.ask("slow", &[f64::from(i)]))
        .collect();
    until(|| slow.running() == 2);
    // The runtime has one thread.
    for i in 0..200 {
        let x = f64::from(i);
        assert_eq!(stage.answer("quick", &[x]).unwrap(), expected(&[x]));
    }
    assert_eq!(quick.calls().len(), 200);
    assert!(asked.iter().all(|asked| !asked.is_answered()));
    slow.open();
    for (i, asked) in asked.into_iter().enumerate() {
        assert_eq!(asked.answer().unwrap(), expected(&[i as f64]));
    }
    assert!(slow.most_running.load(Ordering::SeqCst) <= 2);
}

#[test]
fn a_model_that_was_quick_and_hangs_leaves_a_thread_to_the_others() {
    let (mut stage, [model, other]) = Stage::with(["model", "other"], |core| core);
    stage.runtime = two_threads();
    warm(&stage, "model");
    warm(&stage, "other");
    model.close();
    // All at once: none of them can know yet that it hangs.
    let asked: Vec<Pending> = (0..20).map(|_| stage.ask("model", &[1.0])).collect();
    for _ in 0..100 {
        assert_eq!(stage.answer("other", &[1.0]).unwrap(), [3.0]);
    }
    assert_eq!(other.calls().len(), 108);
    model.open();
    for asked in asked {
        assert_eq!(asked.answer().unwrap(), [3.0]);
    }
}

/// Holds whoever answers the model that is called `held`.
#[derive(Debug, Default)]
struct Holds {
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Holds {
    fn set(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.opened.notify_all();
    }
}

impl Observer for Holds {
    fn observe(&self, observation: &Observation<'_>) {
        if observation.predictor().name() == "held" {
            let closed = self.closed.lock().unwrap();
            drop(self.opened.wait_while(closed, |closed| *closed).unwrap());
        }
    }
}

#[test]
fn what_is_done_around_a_batch_leaves_a_thread_to_the_others() {
    let holds = Arc::new(Holds::default());
    let observer: Arc<dyn Observer> = Arc::<Holds>::clone(&holds);
    let (mut stage, _) = Stage::with(["held", "other"], |core| {
        core.batching(Batching::default().adaptive(false))
            .observer(observer)
    });
    stage.runtime = two_threads();
    warm(&stage, "held");
    warm(&stage, "other");
    holds.set(true);
    let asked: Vec<Pending> = (0..20).map(|_| stage.ask("held", &[1.0])).collect();
    for _ in 0..100 {
        let answer = stage.ask("other", &[1.0]);
        let answer = answer.receive.recv_timeout(LONG);
        if answer.is_err() {
            holds.set(false);
        }
        answer.expect("an answer in time").unwrap();
    }
    holds.set(false);
    for asked in asked {
        assert_eq!(asked.answer().unwrap(), [3.0]);
    }
}

fn two_threads() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn quick_requests_are_answered_on_the_thread_that_took_them() {
    let (stage, [script]) = Stage::with(["model"], |core| core);
    warm(&stage, "model");
    let before = stage.samples()["fourfold_queue_duration_seconds_count{model=\"model\"}"];
    for _ in 0..50 {
        stage.answer("model", &[1.0]).unwrap();
    }
    let after = stage.samples()["fourfold_queue_duration_seconds_count{model=\"model\"}"];
    // On a busy machine one or the other may have seemed slow.
    assert!(after - before < 25.0, "{before} {after}");
    assert_eq!(script.calls().len(), 58);
}

#[test]
fn a_slow_model_is_not_called_on_the_thread_that_took_the_request() {
    let (stage, [script]) = Stage::with(["model"], |core| core);
    script.take(Duration::from_millis(2));
    warm(&stage, "model");
    let queued = &stage.samples()["fourfold_queue_duration_seconds_count{model=\"model\"}"];
    assert_eq!(*queued, 8.0);
}

#[test]
fn a_panic_and_an_error_are_answers() {
    for inline_below in [Duration::ZERO, Duration::from_millis(10)] {
        let (stage, _) = Stage::with(["model"], |core| core.inline_below(inline_below));
        warm(&stage, "model");
        let error = stage.answer("model", &[1.0, PANICS]).unwrap_err();
        assert_eq!(error.to_string(), "model `model` panicked");
        let error = stage.answer("model", &[FAILS]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model);
        let error = stage.answer("model", &[1.0, IS_NAN]).unwrap_err();
        assert_eq!(error.to_string(), "the model answered NaN for row 1");
        assert_eq!(stage.answer("model", &[4.0]).unwrap(), [9.0]);
    }
}

#[test]
fn work_stops_between_blocks_when_nobody_waits() {
    let (stage, [script]) = Stage::with(["model"], |core| core);
    script.close();
    let many: Vec<f64> = (0..20_000).map(f64::from).collect();
    let asked = stage.ask("model", &many);
    until(|| script.running() == 1);
    asked.cancel();
    until(|| stage.samples()["fourfold_requests_in_flight{model=\"model\"}"] == 0.0);
    script.open();
    until(|| script.running() == 0);
    // Once this is answered the other thread has ended, or has its turn no longer.
    assert_eq!(stage.answer("model", &many).unwrap(), expected(&many));
    let blocks = many.len().div_ceil(2_048);
    assert_eq!(script.calls().len(), 1 + blocks);
    let cancelled = "fourfold_requests_total{model=\"model\",version=\"1\",protocol=\"in_process\",code=\"CANCELLED\"}";
    assert_eq!(stage.samples()[cancelled], 1.0);
}

#[test]
fn a_deadline_ends_the_wait_at_once_and_the_work_at_the_next_block() {
    let (stage, [script]) = Stage::with(["model"], |core| {
        core.limits(
            Limits::default()
                .timeout(Duration::from_millis(50))
                .max_concurrency(1),
        )
    });
    script.close();
    let many: Vec<f64> = (0..20_000).map(f64::from).collect();
    let asked = stage.ask("model", &many);
    until(|| script.running() == 1);
    // This one waits for a permit that never comes.
    let waits = stage.ask("model", &[1.0]);
    for asked in [asked, waits] {
        let error = asked.answer().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
        assert_eq!(
            error.to_string(),
            "model `model` did not answer before the deadline"
        );
    }
    assert_eq!(script.calls(), [2_048]);
    script.open();
    until(|| script.running() == 0);
    until(|| stage.answer("model", &[1.0]).is_ok());
    assert_eq!(script.calls()[0], 2_048);
    assert!(script.calls()[1..].iter().all(|rows| *rows == 1));
}
