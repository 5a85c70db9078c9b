use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const N: u64 = 100_000;

fn key(i: u64) -> String {
    format!("customer {i}")
}

/// Asserts that the count of each version is within five standard deviations of its share.
fn assert_shares<'t>(traffic: &'t Traffic, choose: impl Fn(u64) -> &'t VersionRef) {
    let mut counts: BTreeMap<&VersionRef, u64> = BTreeMap::new();
    for i in 0..N {
        *counts.entry(choose(i)).or_default() += 1;
    }
    let total: u32 = traffic.shares().iter().map(Share::weight).sum();
    for share in traffic.shares() {
        let count = counts.get(share.to()).copied().unwrap_or_default() as f64;
        let p = f64::from(share.weight()) / f64::from(total);
        let expected = N as f64 * p;
        let deviation = (expected * (1.0 - p)).sqrt();
        assert!(
            (count - expected).abs() <= 5.0 * deviation,
            "{}: {count} of {expected} expected, deviation {deviation}",
            share.to()
        );
    }
}

#[test]
fn shares_are_as_their_weights() {
    for shares in [
        vec![("stable", 95), ("canary", 5)],
        vec![("stable", 999), ("canary", 1)],
        vec![("a", 1), ("b", 2), ("c", 3), ("d", 0)],
        vec![("only", 7)],
        vec![("a", u32::MAX / 4), ("b", u32::MAX / 4)],
    ] {
        for seed in [0, 1, 12345] {
            let by_key = Traffic::by_key(shares.clone()).unwrap().seed(seed);
            assert_shares(&by_key, |i| by_key.choose(Some(&key(i)), 0));
            let by_weight = Traffic::by_weight(shares.clone()).unwrap();
            let random = |i: u64| xxh64(seed, &i.to_le_bytes());
            assert_shares(&by_weight, |i| by_weight.choose(None, random(i)));
            // Without a key, or when it does not matter, chance decides.
            assert_shares(&by_key, |i| by_key.choose(None, random(i)));
            assert_shares(&by_weight, |i| by_weight.choose(Some("one"), random(i)));
        }
    }
}

#[test]
fn shares_by_chance_are_exact_over_all_random_numbers() {
    let traffic = Traffic::by_weight([("stable", 3), ("canary", 1)]).unwrap();
    let (stable, canary) = ("stable".into(), "canary".into());
    let first_of_canary = 3_u64 << 62;
    for (random, chosen) in [
        (0, &stable),
        (first_of_canary - 1, &stable),
        (first_of_canary, &canary),
        (u64::MAX, &canary),
    ] {
        assert_eq!(traffic.choose(None, random), chosen, "{random}");
    }
}

#[test]
fn a_canary_that_grows_keeps_its_keys() {
    let small = Traffic::by_key([("stable", 95), ("canary", 5)]).unwrap();
    let large = Traffic::by_key([("canary", 10), ("stable", 90)]).unwrap();
    let canary = VersionRef::from("canary");
    let mut stayed = 0;
    for i in 0..N {
        if *small.choose(Some(&key(i)), 0) == canary {
            assert_eq!(large.choose(Some(&key(i)), 0), &canary, "{i}");
            stayed += 1;
        }
    }
    assert!(stayed > 4_000, "{stayed}");
}

#[test]
fn the_version_of_a_key_never_changes() {
    let traffic = Traffic::by_key([("stable", 50), ("canary", 50)]).unwrap();
    let chosen: String = (0..32)
        .map(|i| match traffic.choose(Some(&key(i)), 0) {
            VersionRef::Label(label) => label[..1].to_owned(),
            VersionRef::Number(version) => version.to_string(),
        })
        .collect();
    assert_eq!(chosen, "sccscccscccscscsccssccscsssssssc");
    let other = traffic.clone().seed(1);
    let moved =
        (0..1_000).filter(|i| traffic.choose(Some(&key(*i)), 0) != other.choose(Some(&key(*i)), 0));
    assert!((400..600).contains(&moved.count()));
}

#[test]
fn splits_of_nothing_are_refused() {
    for shares in [vec![], vec![("a", 0)]] {
        let error = Traffic::by_key(shares).unwrap_err();
        assert_eq!(
            error.to_string(),
            "traffic: at least one share must have a weight above 0"
        );
    }
    let error = Traffic::by_weight([(3, 1), (3, 2)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "traffic: version 3 has two shares, must have one"
    );
}

proptest! {
    /// A share that grows loses no key, whatever the others are and in whichever order they stand.
    #[test]
    fn growing_loses_nothing(
        weights in prop::collection::vec(1_u32..1_000, 2..6),
        grown in 0_usize..6,
        by in 1_u32..1_000,
        keys in prop::collection::vec(".{0,12}", 50),
    ) {
        let grown = grown % weights.len();
        let shares: Vec<(u64, u32)> = (1..).zip(weights).collect();
        let before = Traffic::by_key(shares.clone()).unwrap();
        let mut shares = shares;
        shares[grown].1 += by;
        shares.reverse();
        let after = Traffic::by_key(shares).unwrap();
        let version = VersionRef::Number(grown as u64 + 1);
        for key in &keys {
            let (was, is) = (before.choose(Some(key), 0), after.choose(Some(key), 0));
            prop_assert!(was == is || *is == version, "{key:?}: {was} became {is}");
        }
    }
}
