//! Refused requests, and the reasons.

use super::super::{Call, InProcessExchange};
use super::*;

#[test]
fn what_is_beyond_the_queue_is_turned_away_at_once() {
    let (stage, [script]) = Stage::with(["model"], |core| {
        core.limits(Limits::default().max_concurrency(2).max_queue(3))
    });
    script.close();
    let asked: Vec<Pending> = (0..5).map(|_| stage.ask("model", &[1.0])).collect();
    until(|| script.running() == 2);
    until(|| stage.samples()["fourfold_queue_length{model=\"model\"}"] == 3.0);
    for _ in 0..20 {
        let error = stage.answer("model", &[1.0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert_eq!(
            error.to_string(),
            "model `model` is at capacity: 2 requests are computed and 3 queued"
        );
    }
    let again = stage.core.retry_after("model");
    assert!((Duration::from_secs(1)..=Duration::from_secs(60)).contains(&again));
    script.open();
    for asked in asked {
        assert_eq!(asked.answer().unwrap(), [3.0]);
    }
    assert_eq!(script.calls().len(), 5, "what is turned away costs nothing");
}

/// Under any load, an accepted request is answered after at most as many calls as were admitted before it.
#[test]
fn what_is_accepted_waits_for_a_bounded_number_of_others() {
    const QUEUE: usize = 8;
    let (stage, [script]) = Stage::with(["model"], |core| {
        core.limits(Limits::default().max_concurrency(1).max_queue(QUEUE))
            .batching(Batching::off())
            .inline_below(Duration::ZERO)
    });
    script.take(Duration::from_millis(1));
    let asked: Vec<(u32, Pending)> = (0..400)
        .map(|i| (i, stage.ask("model", &[f64::from(i)])))
        .collect();
    let mut refused = 0;
    let mut accepted = Vec::new();
    for (i, asked) in asked {
        match asked.answer() {
            Ok(answer) => {
                assert_eq!(answer, expected(&[f64::from(i)]));
                accepted.push(f64::from(i));
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
                refused += 1;
            }
        }
    }
    assert!(accepted.len() > QUEUE && refused > 0, "{refused}");
    assert_eq!(accepted.len() + refused, 400);
    // In the order of arrival, none overtaken: so none waited for more than the queue.
    assert_eq!(*script.asked.lock().unwrap(), accepted);
    assert_eq!(script.most_running.load(Ordering::SeqCst), 1);
}

#[test]
fn rows_beyond_the_limit_are_an_error_of_the_request() {
    let (stage, [script]) = Stage::with(["model"], |core| {
        core.model_limits("model", Limits::default().max_rows(3))
    });
    assert_eq!(stage.answer("model", &[1.0; 3]).unwrap(), [3.0; 3]);
    let error = stage.answer("model", &[1.0; 4]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert_eq!(
        error.to_string(),
        "the request has 4 rows, model `model` takes at most 3"
    );
    assert_eq!(script.calls(), [3]);
    assert_eq!(stage.core.limits("model").max_rows, 3);
    assert_eq!(stage.core.limits("other").max_rows, 100_000);
}

#[test]
fn a_builder_names_the_model_of_a_wrong_value() {
    let (stage, _) = Stage::with(["model"], |core| core);
    let of = |core: ServerCoreBuilder| core.build().unwrap_err().to_string();
    let builder = || ServerCore::builder(Arc::clone(stage.core.manager()));
    assert_eq!(
        of(builder().model_limits("late", Limits::default().max_concurrency(0))),
        "model `late`: `max_concurrency` is 0, must be from 1 to 1048576"
    );
    assert_eq!(
        of(builder().model_batching("late", Batching::default().max_batch_size(0))),
        "model `late`: `max_batch_size` is 0, must be from 1 to 100000"
    );
    assert_eq!(
        of(builder().inline_below(Duration::from_secs(1))),
        "`inline_below` is 1s, must be at most 10ms"
    );
}

#[test]
fn a_request_that_comes_too_late_costs_nothing() {
    let (stage, [script]) = Stage::with(["model"], |core| {
        core.limits(Limits::default().timeout(Duration::MAX))
    });
    stage.answer("model", &[1.0]).unwrap();
    let call = Call {
        model: "model",
        deadline: Some(Instant::now()),
        ..Call::default()
    };
    let answering = stage.core.answer(call, InProcessExchange(rows(&[1.0])));
    let error = stage.runtime.block_on(answering).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert_eq!(script.calls().len(), 1);
}

#[test]
fn outside_of_a_runtime_an_error_says_so() {
    let (stage, _) = Stage::with(["model"], |core| core);
    let mut asking = std::pin::pin!(stage.core.predict("model", None, rows(&[1.0])));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(answer) = asking.as_mut().poll(&mut context) else {
        panic!("it waits");
    };
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Config);
}
