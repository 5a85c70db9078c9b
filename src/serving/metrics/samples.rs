//! The samples of the page of [`Metrics::encode`](super::Metrics::encode), for drawing.

use std::collections::BTreeMap;

/// A value with its name and labels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Without the prefix `fourfold_`.
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Sample {
    /// The value of a label; empty if there is none.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// The samples of a page. What is no sample is left out: the page is our own.
pub(crate) fn samples(page: &str) -> Vec<Sample> {
    page.lines().filter_map(sample).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let line = line.strip_prefix("fourfold_")?;
    let (name, rest) = match line.find(['{', ' '])? {
        at if line[at..].starts_with('{') => (&line[..at], &line[at + 1..]),
        at => {
            let value = line[at + 1..].parse().ok()?;
            return Some(Sample {
                name: line[..at].to_owned(),
                labels: BTreeMap::new(),
                value,
            });
        }
    };
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    while !rest.starts_with('}') {
        let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
        let (mut value, mut end) = (String::new(), None);
        let mut chars = after.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = Some(at + 1);
                    break;
                }
                '\\' => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    escaped => escaped,
                }),
                c => value.push(c),
            }
        }
        labels.insert(label.to_owned(), value);
        rest = &after[end?..];
    }
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: rest.strip_prefix("} ")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Metrics, parse};
    use super::*;

    #[test]
    fn a_page_is_read_as_tests_read_it() {
        let metrics = Metrics::new();
        for name in [
            "size 5\" disk",
            "back\\slash",
            "line\nbreak",
            "{a=\"b\",c} 1",
            "日本",
            "",
        ] {
            metrics.drift(name, 1, name, "psi").set(0.25);
            metrics.observe_load(name, true, std::time::Duration::from_millis(3));
        }
        let page = metrics.encode();
        let found = samples(&page);
        let expected = parse::samples(&page);
        assert_eq!(found.len(), expected.len());
        let (found, expected): (f64, f64) = (
            found.iter().map(|of| of.value).sum(),
            expected.values().sum(),
        );
        assert_eq!(found, expected);
        let drift: Vec<Sample> = samples(&page)
            .into_iter()
            .filter(|of| of.name == "drift")
            .collect();
        assert_eq!(drift.len(), 6);
        assert!(
            drift
                .iter()
                .all(|of| of.label("model") == of.label("column"))
        );
    }
}
