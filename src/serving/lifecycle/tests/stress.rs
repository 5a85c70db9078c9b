//! Versions are swapped while others ask.

use std::sync::atomic::AtomicU64;

use super::*;

#[test]
fn no_request_fails_while_versions_are_swapped() {
    let world = World::of(&[("m", 1)]);
    let manager = world
        .builder()
        .poll_interval(Duration::from_millis(1))
        .open()
        .unwrap();
    let newest = AtomicU64::new(1);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut n, mut last) = (0_u64, 0);
                    while !is_over.load(Ordering::Acquire) {
                        let predictor = manager.get("m", None).unwrap();
                        let version = predictor.version();
                        assert!(
                            version >= last,
                            "it never goes back: {version} after {last}"
                        );
                        assert!(version <= newest.load(Ordering::Acquire));
                        assert_eq!(answer(&predictor), version as f64);
                        last = version;
                        n += 1;
                    }
                    n
                })
            })
            .collect();
        for next in 2..=40 {
            // It is announced before it exists.
            newest.store(next, Ordering::Release);
            world.push("m", next);
            if next % 3 == 0 {
                world.tell("m", next + 1, Does::Fails);
            }
            if next % 2 == 0 {
                manager.refresh().unwrap();
            }
            if next > 5 {
                world.remove("m", next - 5);
            }
        }
        eventually("the newest answers", || version(&manager, "m") >= 39);
        is_over.store(true, Ordering::Release);
        let asked: u64 = askers.into_iter().map(|asker| asker.join().unwrap()).sum();
        assert!(asked > 0);
    });
    let tried: std::collections::BTreeSet<u64> = {
        let tried = world.0.tried.lock().unwrap();
        tried.iter().map(|(_, version)| *version).collect()
    };
    assert!(tried.len() > 10, "{tried:?}");
    drop(manager);
    let threads = world.dropped();
    assert!(
        threads
            .iter()
            .all(|(_, thread)| thread == "fourfold-unload" || thread == "fourfold-load"),
        "{threads:?}"
    );
}

#[test]
fn swapping_back_and_forth_never_leaves_nothing() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    let manager = world
        .builder()
        .versions(VersionPolicy::Latest(2))
        .open()
        .unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Acquire) {
                    let stable = manager.get("m", None).unwrap();
                    assert_eq!(answer(&stable), stable.version() as f64);
                }
            });
        }
        for at in 0..60 {
            manager.set_label("m", "stable", 1 + at % 2).unwrap();
            assert_eq!(version(&manager, "m"), 1 + at % 2);
        }
        assert_eq!(version(&manager, "m"), 2);
        assert_eq!(manager.rollback("m").unwrap(), 1);
        assert_eq!(version(&manager, "m"), 1);
        is_over.store(true, Ordering::Release);
    });
}
