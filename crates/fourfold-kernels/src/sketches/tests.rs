//! Numbers at the ends of their range, and counts read from outside.

use super::number::{NumberSketch, Scratch};

#[test]
fn damaged_counts_are_read_without_a_panic() {
    for pairs in [
        "[[5,1],[0,1]]",
        "[[9223372036854775807,1],[-9223372036854775808,1]]",
    ] {
        let json =
            format!(r#"{{"real":false,"state":{{"Exact":{{"dense":true,"pairs":{pairs}}}}}}}"#);
        let mut found: NumberSketch = serde_json::from_str(&json).unwrap();
        assert_eq!((found.distinct(), found.moments().count()), (2, 2));
        found.merge(serde_json::from_str(&json).unwrap()).unwrap();
        assert_eq!(found.moments().count(), 4);
    }
    let most =
        r#"{"real":false,"state":{"Exact":{"dense":true,"pairs":[[0,18446744073709551615]]}}}"#;
    let mut found: NumberSketch = serde_json::from_str(most).unwrap();
    found.merge(serde_json::from_str(most).unwrap()).unwrap();
    assert_eq!(found.moments().count(), u64::MAX);
}

#[test]
fn the_ends_of_whole_numbers_are_counted() {
    for value in [i64::MAX, i64::MIN] {
        let mut counts = NumberSketch::new(false);
        counts.update_whole(&[value, value], &mut Scratch::default());
        assert_eq!(counts.top(9), Some((vec![(value, 2)], true)));
    }
    let mut counts = NumberSketch::new(false);
    counts.update_whole(&[i64::MAX, i64::MIN], &mut Scratch::default());
    assert_eq!(counts.distinct(), 2);
}
