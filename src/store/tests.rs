//! Tests of writing and verifying directories.

use std::fs::{self, File};

use super::*;
use crate::error::ErrorKind;

#[test]
fn a_failed_write_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("model");
    let result = write_dir(&place, |dir| {
        fs::write(dir.join("half"), "x").unwrap();
        Err(Error::model("no"))
    });
    assert!(result.is_err());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn every_flipped_byte_is_found() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("1");
    write_dir(&place, |dir| {
        fs::create_dir(dir.join("sub")).unwrap();
        fs::write(dir.join("sub").join("a"), "abc").unwrap();
        fs::write(dir.join("b"), "xyz").unwrap();
        Ok(())
    })
    .unwrap();
    verify_dir(&place).unwrap();
    for file in ["sub/a", "b", SUMS] {
        let path = place.join(file);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert_eq!(
                verify_dir(&place).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "{file} {at}"
            );
        }
        fs::write(&path, &good).unwrap();
    }
    assert_eq!(
        version_dirs(root.path()).unwrap().into_keys().next(),
        Some(1)
    );
    assert!(write_dir(&place, |_| Ok(())).is_err());
}

#[test]
fn numbers_are_versions_however_they_are_padded() {
    let root = tempfile::tempdir().unwrap();
    let made = [
        "00017",
        "30",
        "0001",
        "001",
        "00001",
        "20170111173521",
        "+5",
        "-5",
        "1.0",
        "x",
        ".7",
        "99999999999999999999",
    ];
    for name in made {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    fs::write(root.path().join("40"), "a file").unwrap();
    let found = version_dirs(root.path()).unwrap();
    let names = ["001", "00017", "30", "20170111173521"].map(|name| root.path().join(name));
    assert_eq!(
        found.keys().copied().collect::<Vec<_>>(),
        [1, 17, 30, 20_170_111_173_521]
    );
    assert_eq!(found.into_values().collect::<Vec<_>>(), names);
}

#[test]
fn a_removed_directory_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("1");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("a"), "abc").unwrap();
    assert_eq!(n_bytes(&place), 3);
    remove_dir(&place).unwrap();
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    assert_eq!(remove_dir(&place).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

/// The error of verifying a directory with an entry that is not a regular file of its own.
#[cfg(unix)]
fn verified_with(make: impl FnOnce(&Path)) -> Error {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("1");
    fs::write(root.path().join("outside"), "secret").unwrap();
    write_dir(&place, |dir| {
        fs::create_dir(dir.join("sub")).unwrap();
        fs::write(dir.join("sub/a"), "abc").unwrap();
        Ok(())
    })
    .unwrap();
    make(&place);
    let error = verify_dir(&place).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    error
}

#[cfg(unix)]
#[test]
fn links_lead_nowhere_else() {
    use std::os::unix::fs::symlink;

    // A loop, a link out of the directory, and one to a directory of its own.
    for (link, to) in [
        ("loop", "loop"),
        ("out", "../outside"),
        ("up", "."),
        ("sub/b", "../sub"),
        ("sub/c", "/etc/passwd"),
    ] {
        let error = verified_with(|place| symlink(to, place.join(link)).unwrap());
        assert!(error.to_string().contains(link), "{error}");
        assert!(error.to_string().contains("a link"), "{error}");
    }
    // The file is replaced by a link to the same content elsewhere.
    let error = verified_with(|place| {
        fs::write(place.parent().unwrap().join("a"), "abc").unwrap();
        fs::remove_file(place.join("sub/a")).unwrap();
        symlink("../../a", place.join("sub/a")).unwrap();
    });
    assert!(error.to_string().contains("sub/a"), "{error}");
    // A link within is as good as a file.
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("1");
    write_dir(&place, |dir| {
        fs::write(dir.join("a"), "abc").unwrap();
        symlink("a", dir.join("b")).unwrap();
        Ok(())
    })
    .unwrap();
    verify_dir(&place).unwrap();
    // And the directory itself may be a link.
    let linked = root.path().join("2");
    symlink(&place, &linked).unwrap();
    verify_dir(&linked).unwrap();
}

#[cfg(unix)]
#[test]
fn what_would_block_is_not_opened() {
    let fifo = |path: &Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    };
    verified_with(|place| fifo(&place.join("sub/pipe")));
    verified_with(|place| {
        fs::remove_file(place.join("sub/a")).unwrap();
        fifo(&place.join("sub/a"));
    });
    let error = verified_with(|place| {
        fs::remove_file(place.join(SUMS)).unwrap();
        fifo(&place.join(SUMS));
    });
    assert!(error.to_string().contains(SUMS), "{error}");
}

#[cfg(unix)]
#[test]
fn names_are_compared_before_anything_is_read() {
    // A terabyte without a byte on the disk: to hash it would take an hour.
    let error = verified_with(|place| {
        let sparse = File::create(place.join("huge")).unwrap();
        sparse.set_len(1 << 40).unwrap();
    });
    assert!(error.to_string().contains("huge"), "{error}");
    let error = verified_with(|place| {
        let sparse = File::create(place.join(SUMS)).unwrap();
        sparse.set_len(1 << 40).unwrap();
    });
    assert!(error.to_string().contains(SUMS), "{error}");
    let error = verified_with(|place| {
        let mut deep = place.to_owned();
        (0..40).for_each(|_| deep.push("d"));
        fs::create_dir_all(deep).unwrap();
    });
    assert!(error.to_string().contains("deep"), "{error}");
}

#[test]
fn a_text_has_a_size() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("text");
    fs::write(&path, "12345").unwrap();
    assert_eq!(read_text(&path, 5).unwrap(), "12345");
    let error = read_text(&path, 4).unwrap_err();
    assert!(crate::error::chain(&error).contains("more than 4 bytes"));
    let none = read_text(&root.path().join("none"), 4).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}

#[test]
fn what_killed_writers_left_is_swept_and_living_ones_are_not() {
    let root = tempfile::tempdir().unwrap();
    // The entry is as a killed writer leaves it: nobody holds its lock.
    let left = root.path().join(".writing-dead");
    fs::create_dir_all(left.join("model")).unwrap();
    fs::write(left.join("model/half"), "x").unwrap();
    fs::write(root.path().join(".writing-file"), "x").unwrap();
    fs::write(root.path().join(".other"), "x").unwrap();

    let living = Aside::new(&root.path().join("2")).unwrap();
    assert!(!left.exists(), "the next writer sweeps");
    assert!(living.path().exists());
    assert_eq!(sweep(root.path()), 0);
    fs::write(living.path().join("a"), "abc").unwrap();
    living.commit().unwrap();
    verify_dir(&root.path().join("2")).unwrap();
    assert!(root.path().join(".other").exists());
    write_file(&root.path().join("text"), "abc").unwrap();
    assert_eq!(sweep(root.path()), 0);
}

#[test]
fn writers_and_sweepers_do_not_disturb_each_other() {
    let root = tempfile::tempdir().unwrap();
    /// Sweepers stop when it is dropped, by a panic too.
    struct Done<'a>(&'a std::sync::atomic::AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                sweep(root.path());
            }
        });
        let _done = Done(&is_done);
        for version in 0..100 {
            let place = root.path().join(version.to_string());
            write_dir(&place, |dir| {
                fs::write(dir.join("a"), "abc").unwrap();
                Ok(())
            })
            .unwrap();
            write_file(&root.path().join("text"), "abc").unwrap();
        }
    });
    assert_eq!(version_dirs(root.path()).unwrap().len(), 100);
}
