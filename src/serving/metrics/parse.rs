//! A reader of the text format, for tests.

use std::collections::BTreeMap;

/// The samples of a page by their names with labels, checked: every family has a type, and its samples follow it.
pub(crate) fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut family = String::new();
    let mut kind = String::new();
    let body = page.strip_suffix("# EOF\n").expect("a page ends with EOF");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name) = (words.next().unwrap(), words.next().unwrap());
            match what {
                "TYPE" => kind = words.next().unwrap().to_owned(),
                "HELP" => family = name.to_owned(),
                "UNIT" => assert!(name.ends_with(words.next().unwrap())),
                other => panic!("a comment `{other}`"),
            }
            if what == "TYPE" {
                assert_eq!(name, family, "HELP and TYPE are of one family");
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
        let end = name.find('{').unwrap_or(name.len());
        let (base, labels) = name.split_at(end);
        let suffix = base.strip_prefix(family.as_str()).expect("of its family");
        let allowed: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("a type `{other}`"),
        };
        assert!(allowed.contains(&suffix), "`{line}` in a {kind}");
        if !labels.is_empty() {
            let inner = labels.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
            assert!(inner.contains("=\""), "{line}");
        }
        let value = value.parse().expect("a number");
        assert!(
            samples.insert(name.to_owned(), value).is_none(),
            "{line} twice"
        );
    }
    samples
}

#[test]
fn buckets_are_cumulative() {
    use std::time::Duration;

    let metrics = super::Metrics::new();
    for millis in [1, 20, 7_000, 400_000] {
        metrics.observe_load("m", true, Duration::from_millis(millis));
    }
    metrics.observe_load("m", false, Duration::from_millis(20));
    let samples = samples(&metrics.encode());
    let bucket = |le: &str| {
        samples[&format!("fourfold_load_duration_seconds_bucket{{le=\"{le}\",model=\"m\"}}")]
    };
    assert_eq!(bucket("0.001"), 1.0);
    assert_eq!(bucket("0.05"), 3.0);
    assert_eq!(bucket("5.0"), 3.0);
    assert_eq!(bucket("10.0"), 4.0);
    assert_eq!(bucket("+Inf"), 5.0);
    assert_eq!(
        samples["fourfold_load_duration_seconds_count{model=\"m\"}"],
        5.0
    );
    assert_eq!(
        samples["fourfold_load_duration_seconds_sum{model=\"m\"}"],
        0.001 + 0.02 + 7.0 + 400.0 + 0.02
    );
    assert_eq!(
        samples["fourfold_model_loads_total{model=\"m\",result=\"ok\"}"],
        4.0
    );
    assert_eq!(
        samples["fourfold_model_loads_total{model=\"m\",result=\"error\"}"],
        1.0
    );
}
