//! Clients that do not read their answers, or that ask for too much at once.

use super::super::{Call, Client, Exchange, InProcessExchange};
use super::*;
use crate::serving::Predictor;

/// A request for contributions, which is known once it is read.
struct Explains {
    rows: RecordBatch,
    is_read: bool,
}

impl Exchange for Explains {
    type Reply = Prediction;

    fn rows(&mut self, _: &Predictor) -> Result<RecordBatch> {
        self.is_read = true;
        Ok(self.rows.clone())
    }

    fn explains(&self) -> bool {
        self.is_read
    }

    fn reply(&self, _: &Predictor, prediction: &Prediction) -> Result<Prediction> {
        Ok(prediction.clone())
    }
}

impl Stage {
    /// Sends a request of a client on a task of its own.
    fn ask_as(&self, client: &Arc<Client>, x: f64) -> Pending {
        let (core, client) = (self.core.clone(), Arc::clone(client));
        let (send, receive) = mpsc::channel();
        let task = self.runtime.spawn(async move {
            let call = Call {
                model: "model",
                client: Some(&client),
                ..Call::default()
            };
            let _ = send.send(core.answer(call, InProcessExchange(rows(&[x]))).await);
        });
        Pending { receive, task }
    }

    fn n_waiting(&self) -> f64 {
        self.samples()["fourfold_queue_length{model=\"model\"}"]
    }
}

/// A model that answers one request at a time, never on the thread that took it.
fn one_at_a_time(max_queue: usize) -> (Stage, Arc<Script>) {
    let (stage, [script]) = Stage::with(["model"], |core| {
        core.limits(Limits::default().max_concurrency(1).max_queue(max_queue))
            .batching(Batching::off())
            .inline_below(Duration::ZERO)
    });
    (stage, script)
}

#[test]
fn who_does_not_read_waits_for_no_turn() {
    let (stage, script) = one_at_a_time(1);
    let client = Arc::new(Client::new(100));
    client.has_answer(101);
    let waits: Vec<Pending> = (0..2).map(|_| stage.ask_as(&client, 1.0)).collect();
    for _ in 0..20 {
        assert_eq!(stage.answer("model", &[2.0]).unwrap(), [5.0]);
        assert!(stage.n_waiting() < 1.0);
    }
    assert!(!waits.iter().any(Pending::is_answered));
    assert_eq!(script.calls().len(), 20);
    client.has_read(101);
    // They are no more than there is room for.
    for asked in waits {
        assert_eq!(asked.answer().unwrap(), [3.0]);
    }
}

#[test]
fn who_stops_reading_while_it_is_queued_gives_its_turn_to_the_next() {
    let (stage, script) = one_at_a_time(2);
    let client = Arc::new(Client::new(100));
    script.close();
    let first = stage.ask_as(&client, 1.0);
    until(|| script.running() == 1);
    let second = stage.ask_as(&client, 2.0);
    until(|| stage.n_waiting() == 1.0);
    let other = stage.ask("model", &[3.0]);
    until(|| stage.n_waiting() == 2.0);
    client.has_answer(101);
    script.open();
    assert_eq!(first.answer().unwrap(), [3.0]);
    assert_eq!(other.answer().unwrap(), [7.0]);
    assert!(!second.is_answered());
    client.has_read(101);
    assert_eq!(second.answer().unwrap(), [5.0]);
    assert_eq!(*script.asked.lock().unwrap(), [1.0, 3.0, 2.0]);
}

#[test]
fn who_fills_the_queue_makes_room_for_another() {
    let (stage, script) = one_at_a_time(3);
    let client = Arc::new(Client::new(100));
    script.close();
    let first = stage.ask_as(&client, 0.0);
    until(|| script.running() == 1);
    let queued: Vec<Pending> = (1..4)
        .map(|n| stage.ask_as(&client, f64::from(n)))
        .collect();
    until(|| stage.n_waiting() == 3.0);
    let other = stage.ask_as(&Arc::new(Client::new(100)), 9.0);
    until(|| queued.iter().any(Pending::is_answered));
    script.open();
    assert_eq!(other.answer().unwrap(), [19.0]);
    assert_eq!(first.answer().unwrap(), [1.0]);
    let answers: Vec<_> = queued.into_iter().map(Pending::answer).collect();
    assert_eq!(answers[0].as_ref().unwrap(), &[3.0]);
    assert_eq!(answers[1].as_ref().unwrap(), &[5.0]);
    let refused = answers[2].as_ref().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
}

#[test]
fn requests_for_contributions_leave_a_turn_to_others() {
    let (stage, [script]) = Stage::with(["model"], |core| {
        core.limits(Limits::default().max_concurrency(2))
            .batching(Batching::off())
            .inline_below(Duration::ZERO)
    });
    script.close();
    for _ in 0..4 {
        let core = stage.core.clone();
        stage.runtime.spawn(async move {
            let call = Call {
                model: "model",
                ..Call::default()
            };
            let exchange = Explains {
                rows: rows(&[1.0]),
                is_read: false,
            };
            // Its model has no contributions, but is asked for its answers first.
            assert!(core.answer(call, exchange).await.is_err());
        });
    }
    until(|| script.running() == 1 && stage.n_waiting() == 3.0);
    let other = stage.ask("model", &[2.0]);
    until(|| *script.asked.lock().unwrap() == [1.0, 2.0]);
    script.open();
    assert_eq!(other.answer().unwrap(), [5.0]);
}
