//! Differences in how a model treats groups of people.

use serde::{Deserialize, Serialize};

use super::{Evaluation, MetricValue, Metrics};

/// The quantity that is compared between groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parity {
    /// The share that is answered as positive: demographic parity.
    Demographic,
    /// The share of the positives that is: equal opportunity (Hardt, Price and Srebro 2016).
    EqualOpportunity,
    /// The same, and the share of the negatives that is: equalised odds. Of the two, the one that differs more.
    EqualisedOdds,
    /// Σ prediction / Σ label: calibration by group.
    Calibration,
}

impl Parity {
    /// All of them.
    pub const ALL: [Parity; 4] = [
        Parity::Demographic,
        Parity::EqualOpportunity,
        Parity::EqualisedOdds,
        Parity::Calibration,
    ];

    fn metrics(self) -> &'static [&'static str] {
        match self {
            Parity::Demographic => &["selection_rate"],
            Parity::EqualOpportunity => &["recall"],
            Parity::EqualisedOdds => &["recall", "false_positive_rate"],
            Parity::Calibration => &["calibration"],
        }
    }
}

/// The difference between the two groups that are furthest apart, and the ratio of the lower to the higher, as fairlearn
/// defines them.
///
/// The intervals are those of the two groups (Newcombe 1998 for differences, Donner and Zou 2012 for ratios). Of many groups
/// the furthest apart are further apart than they would be in all people of the kind, so with many groups the difference is
/// too high rather than too low.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Disparity {
    /// The quantity that is compared.
    pub parity: Parity,
    /// The metric of the groups: `recall` or `false_positive_rate` for equalised odds.
    pub metric: String,
    /// The group with the highest value, and that with the lowest.
    pub highest: String,
    /// The group with the lowest value.
    pub lowest: String,
    /// The highest less the lowest: 0 if all are equal.
    pub difference: MetricValue,
    /// The lowest by the highest: 1 if all are equal. None if the highest is 0.
    pub ratio: Option<MetricValue>,
}

/// The disparities between the groups of a column, such as age bands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fairness {
    /// The column.
    pub column: String,
    /// The rates of each value: `selection_rate`, `recall` (the true positive rate), `false_positive_rate` and
    /// `calibration`, where they are defined.
    pub groups: Vec<(String, Metrics)>,
    /// The disparities of the quantities that at least two groups have.
    pub disparities: Vec<Disparity>,
}

impl Fairness {
    /// The fairness of the slices by one column, of at least `min_rows` rows each.
    #[must_use]
    pub fn of(evaluation: &Evaluation, column: &str, min_rows: u64) -> Self {
        const NAMES: [&str; 4] = [
            "selection_rate",
            "recall",
            "false_positive_rate",
            "calibration",
        ];
        let slices = evaluation.slices.iter().filter_map(|of| {
            let conditions = of.slice.conditions();
            let value = conditions.get(column).filter(|_| conditions.len() == 1)?;
            let metrics = NAMES.iter().filter_map(|name| {
                let value = of.metrics.get(*name)?;
                Some(((*name).to_owned(), *value))
            });
            (of.n_rows() >= min_rows).then(|| (value.clone(), metrics.collect()))
        });
        let groups: Vec<(String, Metrics)> = slices.collect();
        let disparities = Parity::ALL.iter().filter_map(|parity| {
            let of_metrics = parity.metrics().iter();
            let found = of_metrics.filter_map(|metric| disparity(*parity, metric, &groups));
            found.max_by(|a, b| a.difference.value.total_cmp(&b.difference.value))
        });
        Fairness {
            column: column.to_owned(),
            disparities: disparities.collect(),
            groups,
        }
    }
}

fn disparity(parity: Parity, metric: &str, groups: &[(String, Metrics)]) -> Option<Disparity> {
    let values = groups.iter().filter_map(|(group, metrics)| {
        let value = metrics.get(metric)?;
        Some((group, value))
    });
    let values: Vec<(&String, &MetricValue)> = values.collect();
    let by_value = |a: &&(&String, &MetricValue), b: &&(&String, &MetricValue)| {
        a.1.value.total_cmp(&b.1.value)
    };
    // The first of equal ones, so that nothing depends on more than the order of the groups.
    let (highest, high) = values.iter().rev().max_by(by_value)?;
    let (lowest, low) = values.iter().min_by(by_value)?;
    if values.len() < 2 {
        return None;
    }
    Some(Disparity {
        parity,
        metric: metric.to_owned(),
        highest: (*highest).clone(),
        lowest: (*lowest).clone(),
        difference: difference(high, low),
        ratio: ratio(low, high),
    })
}

fn ends(value: &MetricValue) -> Option<(f64, f64)> {
    value.lower.zip(value.upper)
}

/// With the interval of Newcombe (1998), method 10, from those of the two.
fn difference(high: &MetricValue, low: &MetricValue) -> MetricValue {
    let (a, b) = (high.value, low.value);
    let difference = MetricValue::new(a - b, high.support + low.support);
    let Some(((la, ua), (lb, ub))) = ends(high).zip(ends(low)) else {
        return difference;
    };
    difference.with_interval(
        a - b - (a - la).hypot(ub - b),
        a - b + (ua - a).hypot(b - lb),
    )
}

/// With the interval of Donner and Zou (2012), from those of the two; without one where it has no end.
fn ratio(low: &MetricValue, high: &MetricValue) -> Option<MetricValue> {
    let (a, b) = (low.value, high.value);
    if b.is_nan() || b <= 0.0 {
        return None;
    }
    let ratio = MetricValue::new(a / b, high.support + low.support);
    let Some(((la, ua), (lb, ub))) = ends(low).zip(ends(high)) else {
        return Some(ratio);
    };
    let end = |of_a: f64, of_b: f64, sign: f64| {
        let root = (a * b).powi(2) - of_a * of_b * (2.0 * a - of_a) * (2.0 * b - of_b);
        (a * b + sign * root.max(0.0).sqrt()) / (of_b * (2.0 * b - of_b))
    };
    let (lower, upper) = (end(la, ub, -1.0), end(ua, lb, 1.0));
    Some(match lower <= a / b && a / b <= upper {
        true => ratio.with_interval(lower.max(0.0), upper),
        false => ratio,
    })
}

#[cfg(test)]
mod tests {
    use super::super::estimate::Point;
    use super::super::{Slice, SliceMetrics};
    use super::*;

    fn share(hits: f64, n: f64) -> MetricValue {
        Point::share(hits, n, n).with_support(n as u64).unwrap()
    }

    /// Newcombe (1998), table II: 56 of 70 less 48 of 80, method 10: 0.0524 to 0.3339.
    #[test]
    fn differences_have_newcombes_interval() {
        let found = difference(&share(56.0, 70.0), &share(48.0, 80.0));
        assert!((found.value - 0.2).abs() < 1e-12);
        assert!((found.lower.unwrap() - 0.0524).abs() < 1e-4, "{found:?}");
        assert!((found.upper.unwrap() - 0.3339).abs() < 1e-4, "{found:?}");
        let turned = ratio(&share(48.0, 80.0), &share(56.0, 70.0)).unwrap();
        assert!((turned.value - 0.75).abs() < 1e-12);
        assert!(
            turned.lower.unwrap() < 0.75 && turned.upper.unwrap() < 1.0,
            "{turned:?}"
        );
    }

    #[test]
    fn the_groups_that_are_furthest_apart_are_compared() {
        let slice = |value: &str, selected: f64, recall: f64, alarms: f64| SliceMetrics {
            slice: Slice::of("sex", value),
            metrics: Metrics::from(
                [
                    ("example_count", MetricValue::new(100.0, 100)),
                    ("selection_rate", share(selected, 100.0)),
                    ("recall", share(recall, 50.0)),
                    ("false_positive_rate", share(alarms, 50.0)),
                ]
                .map(|(name, value)| (name.to_owned(), value)),
            ),
        };
        let crossed = SliceMetrics {
            slice: Slice::of("sex", "f").and("age", "old"),
            ..slice("f", 0.0, 0.0, 0.0)
        };
        let evaluation = Evaluation {
            slices: vec![
                slice("f", 40.0, 30.0, 10.0),
                slice("m", 60.0, 35.0, 25.0),
                slice("x", 50.0, 31.0, 19.0),
                crossed,
            ],
            ..Evaluation::default()
        };
        let fairness = Fairness::of(&evaluation, "sex", 30);
        assert_eq!(fairness.groups.len(), 3);
        let [demographic, opportunity, odds] = fairness.disparities.as_slice() else {
            panic!("calibration has no value: {:?}", fairness.disparities)
        };
        assert_eq!(
            (demographic.highest.as_str(), demographic.lowest.as_str()),
            ("m", "f")
        );
        assert!((demographic.difference.value - 0.2).abs() < 1e-12);
        assert!((demographic.ratio.unwrap().value - 2.0 / 3.0).abs() < 1e-12);
        assert!((opportunity.difference.value - 0.1).abs() < 1e-12);
        assert_eq!(odds.metric, "false_positive_rate");
        assert!((odds.difference.value - 0.3).abs() < 1e-12);
        assert!(
            Fairness::of(&evaluation, "sex", 1_000)
                .disparities
                .is_empty()
        );
    }

    #[test]
    fn nothing_selected_has_no_ratio() {
        assert_eq!(ratio(&share(0.0, 10.0), &share(0.0, 10.0)), None);
        let none = ratio(&share(0.0, 10.0), &share(5.0, 10.0)).unwrap();
        assert_eq!(none.value, 0.0);
    }
}
