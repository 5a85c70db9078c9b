//! Type-I errors and power, by simulation with a look after every label.

use super::*;

/// A generator of a fixed sequence (SplitMix64, Steele et al. 2014): numbers in `0..1`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Looks after every label: how often, of so many canaries, each decision is made within so many labels, and how often
/// the confidence sequence ever missed the true difference.
fn simulate(
    n: u64,
    labels: usize,
    share: f64,
    test: SequentialTest,
    loss: impl Fn(&mut Random, bool) -> f64,
    truth: f64,
) -> (f64, f64, f64, f64) {
    let (mut harm, mut promoted, mut missed, mut pairs) = (0.0, 0.0, 0.0, 0.0);
    for seed in 0..n {
        let mut random = Random(seed.wrapping_mul(0xd129_0d3b_a4d1_7f1d));
        let mut sequence = test.begin();
        let mut has_missed = false;
        for _ in 0..labels {
            let is_canary = random.next() < share;
            let loss = loss(&mut random, is_canary);
            let decision = match is_canary {
                true => sequence.canary(loss),
                false => sequence.stable(loss),
            };
            let evidence = sequence.evidence();
            has_missed |= evidence.lower > truth || evidence.upper < truth;
            if decision.is_some() {
                break;
            }
        }
        pairs += sequence.evidence().n_pairs as f64;
        missed += f64::from(has_missed);
        match sequence.decision() {
            Some(Decision::RollBack) => harm += 1.0,
            Some(Decision::Promote) => promoted += 1.0,
            None => {}
        }
    }
    let n = n as f64;
    (harm / n, promoted / n, missed / n, pairs / n)
}

fn wrong(chance: f64) -> impl Fn(&mut Random, bool) -> f64 {
    move |random, _| f64::from(random.next() < chance)
}

#[test]
fn canaries_that_do_no_harm_are_rolled_back_as_rarely_as_was_asked() {
    // Never promoted, so that all labels are looked at: the worst case of looking too often.
    let test = SequentialTest::new().margin(-0.9);
    let brier = |random: &mut Random, _: bool| {
        let p = random.next();
        let y = f64::from(random.next() < p);
        (p - y) * (p - y)
    };
    // 400 canaries: three standard errors above 0.05 are 0.083.
    for share in [0.5, 0.1] {
        let (harm, _, missed, _) = simulate(400, 2_000, share, test, wrong(0.2), 0.0);
        assert!(harm <= 0.083 && missed <= 0.083, "{share}: {harm} {missed}");
        let (harm, _, missed, _) = simulate(400, 2_000, share, test, brier, 0.0);
        assert!(harm <= 0.083 && missed <= 0.083, "{share}: {harm} {missed}");
    }
    // It does happen: the test is not one that never says anything.
    let eager = test.alpha(0.5);
    let (harm, ..) = simulate(200, 2_000, 0.5, eager, wrong(0.2), 0.0);
    assert!((0.1..=0.6).contains(&harm), "{harm}");
}

#[test]
fn canaries_at_the_margin_are_promoted_as_rarely_as_was_asked() {
    let test = SequentialTest::new().margin(0.1).tolerance(0.9);
    let worse = |random: &mut Random, is_canary: bool| {
        f64::from(random.next() < if is_canary { 0.3 } else { 0.2 })
    };
    let (_, promoted, missed, _) = simulate(400, 2_000, 0.5, test, worse, 0.1);
    assert!(promoted <= 0.083 && missed <= 0.083, "{promoted} {missed}");
}

#[test]
fn harm_and_its_absence_are_found_and_soon() {
    let test = SequentialTest::new().margin(0.1);
    let harmful = |random: &mut Random, is_canary: bool| {
        f64::from(random.next() < if is_canary { 0.6 } else { 0.2 })
    };
    let (harm, promoted, _, pairs) = simulate(100, 4_000, 0.2, test, harmful, 0.4);
    assert!(
        harm == 1.0 && promoted == 0.0 && pairs < 80.0,
        "{harm} {pairs}"
    );
    let better = |random: &mut Random, is_canary: bool| {
        f64::from(random.next() < if is_canary { 0.1 } else { 0.2 })
    };
    let (harm, promoted, _, pairs) = simulate(100, 4_000, 0.5, test, better, -0.1);
    assert!(
        promoted >= 0.97 && harm <= 0.03 && pairs < 200.0,
        "{promoted} {pairs}"
    );
}

#[test]
fn the_world_may_drift_under_both() {
    // The loss of both rises from 0.1 to 0.9: pairs are of the same time.
    let test = SequentialTest::new().margin(-0.9);
    let mut found = 0;
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut sequence = test.begin();
        for at in 0..2_000 {
            let chance = 0.1 + 0.8 * f64::from(at) / 2_000.0;
            let loss = f64::from(random.next() < chance);
            match random.next() < 0.1 {
                true => sequence.canary(loss),
                false => sequence.stable(loss),
            };
        }
        found += i32::from(sequence.decision() == Some(Decision::RollBack));
    }
    assert!(
        found <= 19,
        "{found} of 200, 5 % and three standard errors are 19"
    );
}

#[test]
fn a_sequence_goes_on_where_it_was_saved() {
    let mut sequence = SequentialTest::new().begin();
    let mut random = Random(7);
    for _ in 0..50 {
        sequence.stable(random.next());
        sequence.canary(random.next());
    }
    sequence.stable(f64::NAN);
    let text = serde_json::to_string(&sequence).unwrap();
    let mut again: Sequence = serde_json::from_str(&text).unwrap();
    assert_eq!(again, sequence);
    let (one, other) = (sequence.canary(0.5), again.canary(0.5));
    assert_eq!((one, sequence), (other, again));
}

#[test]
fn the_capital_is_that_of_the_formula() {
    // By hand: the first bet is on a mean of 1/2 against 1/2 and stakes nothing; the second on (1/2 + 1) / 2 = 3/4 with
    // variance (1/4 + (1 - 3/4)²) / 2 = 5/32.
    let mut capital = Capital::against(0.5);
    capital.bet(1.0);
    assert_eq!(capital.log, 0.0);
    capital.bet(1.0);
    let lambda = f64::min(0.25 / (5.0 / 32.0 + 1.0 / 16.0), 1.0);
    assert!((capital.log - (lambda * 0.5).ln_1p()).abs() < 1e-12);
}

#[test]
fn options_out_of_their_ranges_are_named() {
    for (test, text) in [
        (
            SequentialTest::new().alpha(0.0),
            "`alpha` is 0, must be above 0 and below 1",
        ),
        (
            SequentialTest::new().margin(1.0),
            "`margin` is 1, must be above -1 and below 1",
        ),
        (
            SequentialTest::new().tolerance(-0.1),
            "`tolerance` is -0.1, must be from 0 to below 1",
        ),
    ] {
        let error = test.check().unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}
