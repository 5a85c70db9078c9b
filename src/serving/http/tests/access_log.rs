//! The access log.

use std::fmt;
use std::sync::Mutex;

use tracing::field::{Field as Named, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;

/// Keeps the access log and the spans.
#[derive(Clone, Default)]
struct Kept {
    entries: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
    spans: Arc<Mutex<BTreeMap<String, String>>>,
}

struct Fields<'f>(&'f mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Named, value: &dyn fmt::Debug) {
        self.0.insert(
            field.name().to_owned(),
            format!("{value:?}").trim_matches('"').to_owned(),
        );
    }
}

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        matches!(metadata.target(), "fourfold::access" | "fourfold::http")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Fields(&mut self.spans.lock().unwrap()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut self.spans.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut entry = BTreeMap::new();
        event.record(&mut Fields(&mut entry));
        if event.metadata().target() == "fourfold::access" {
            self.entries.lock().unwrap().push(entry);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn every_request_is_one_entry() {
    let models = tempfile::tempdir().unwrap();
    late_model("late", 0.1)
        .save(&models.path().join("late/1"))
        .unwrap();
    let manager = Manager::open(ModelRepository::at(models.path()), Loaders::default()).unwrap();
    let kept = Kept::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let body = json!({"inputs": all_inputs()}).to_string();
    let n_bytes = body.len();
    tracing::subscriber::with_default(kept.clone(), || {
        runtime.block_on(async {
            let handle = serve(Arc::new(manager), "127.0.0.1:0").await.unwrap();
            let url = handle.url();
            let asking = tokio::task::spawn_blocking(move || {
                let request = ureq::post(format!("{url}/v2/models/late/infer"))
                    .header("X-Request-Id", "r 1")
                    .header(
                        "traceparent",
                        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                    );
                let answer = request.send(body.as_bytes()).unwrap();
                assert_eq!(answer.headers()["x-request-id"], "r 1");
                drop(answer);
                let wrong = ureq::get(format!("{url}/v2/models/none/infer")).call();
                assert!(wrong.is_err());
            });
            asking.await.unwrap();
            handle.shutdown().await.unwrap();
        });
    });
    let entries = kept.entries.lock().unwrap().clone();
    assert_eq!(entries.len(), 2, "{entries:?}");
    for (field, value) in [
        ("method", "POST"),
        ("path", "/v2/models/late/infer"),
        ("route", "/v2/models/{model}/infer"),
        ("status", "200"),
        ("model", "late"),
        ("version", "1"),
        ("rows", "3"),
        ("request_bytes", &n_bytes.to_string()),
        ("request_id", "r 1"),
    ] {
        assert_eq!(
            entries[0].get(field).map(String::as_str),
            Some(value),
            "{field}"
        );
    }
    assert!(entries[0]["remote"].starts_with("127.0.0.1:"));
    assert!(entries[0].contains_key("duration_us") && entries[0].contains_key("response_bytes"));
    assert_eq!(entries[1]["status"], "405");
    let spans = kept.spans.lock().unwrap();
    assert_eq!(spans["http.request.method"], "GET");
    assert_eq!(spans["http.response.status_code"], "405");
    assert!(spans["traceparent"].starts_with("00-4bf92f"));
}
