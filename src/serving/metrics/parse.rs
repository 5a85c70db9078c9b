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
        let (base, labels_of_it) = name.split_at(end);
        labels(labels_of_it);
        let suffix = base.strip_prefix(family.as_str()).expect("of its family");
        let allowed: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("a type `{other}`"),
        };
        assert!(allowed.contains(&suffix), "`{line}` in a {kind}");
        let value = value.parse().expect("a number");
        assert!(
            samples.insert(name.to_owned(), value).is_none(),
            "{line} twice"
        );
    }
    samples
}

/// The labels of a sample, without the escapes.
pub(crate) fn labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    if text.is_empty() {
        return labels;
    }
    let inner = text.strip_prefix('{').expect("labels begin with {");
    let mut chars = inner.strip_suffix('}').expect("labels end with }").chars();
    loop {
        let name: String = chars.by_ref().take_while(|c| *c != '=').collect();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(
            !name.is_empty() && name.chars().all(is_name),
            "a label `{name}` in {text}"
        );
        assert_eq!(
            chars.next(),
            Some('"'),
            "a value begins with a quote: {text}"
        );
        let mut value = String::new();
        loop {
            match chars.next().expect("a value ends") {
                '"' => break,
                '\\' => value.push(match chars.next() {
                    Some('n') => '\n',
                    Some(c @ ('"' | '\\')) => c,
                    other => panic!("an escape of {other:?} in {text}"),
                }),
                c => value.push(c),
            }
        }
        assert!(
            labels.insert(name, value).is_none(),
            "a label twice: {text}"
        );
        match chars.next() {
            Some(',') => {}
            None => return labels,
            Some(other) => panic!("`{other}` after a value in {text}"),
        }
    }
}

#[test]
fn any_name_may_be_a_label() {
    let metrics = super::Metrics::new();
    let names = [
        "size 5\" disk",
        "back\\slash",
        "line\nbreak",
        "{a=\"b\",c}",
        "Zürich 日本",
        "\\n",
        "",
        "\r\t \u{0}",
    ];
    for name in names {
        metrics.drift(name, 1, name, "psi").set(0.5);
        metrics.observe_load(name, true, std::time::Duration::ZERO);
    }
    let page = metrics.encode();
    let mut found: Vec<String> = samples(&page)
        .into_keys()
        .filter(|name| name.starts_with("fourfold_drift{"))
        .map(|name| {
            let labels = labels(name.strip_prefix("fourfold_drift").unwrap());
            assert_eq!(labels["model"], labels["column"]);
            labels["column"].clone()
        })
        .collect();
    found.sort();
    let mut expected = names.map(str::to_owned);
    expected.sort();
    assert_eq!(found, expected);
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
