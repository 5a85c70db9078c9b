//! The memory budget: fitting a version, and the choice of versions to evict for it.

/// The memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// The limit.
    pub(super) limit: u64,
    /// The bytes in use.
    pub(super) used: u64,
    /// The bytes in use by versions that are being unloaded.
    pub(super) leaving: u64,
}

/// Something that may be unloaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evictable<K> {
    pub(super) key: K,
    pub(super) last_used: u64,
    pub(super) n_bytes: u64,
}

/// The steps that make a version fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room<K> {
    Fits,
    /// These have to be unloaded first.
    Evict(Vec<K>),
    /// Enough is being unloaded, or has to be unloaded by others.
    Wait,
    /// It is larger than the limit.
    Never,
}

/// The least recently used go first, and only if that is enough.
pub(super) fn room<K>(memory: Memory, needed: u64, mut evictable: Vec<Evictable<K>>) -> Room<K> {
    if needed > memory.limit {
        return Room::Never;
    }
    let free = memory.limit.saturating_sub(memory.used);
    if needed <= free {
        return Room::Fits;
    }
    let mut coming = free.saturating_add(memory.leaving);
    let mut evicted = Vec::new();
    evictable.sort_by_key(|evictable| evictable.last_used);
    for evictable in evictable {
        if needed <= coming {
            break;
        }
        coming = coming.saturating_add(evictable.n_bytes);
        evicted.push(evictable.key);
    }
    if needed <= coming && !evicted.is_empty() {
        Room::Evict(evicted)
    } else {
        Room::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        used: u64,
        leaving: u64,
        needed: u64,
        evictable: &[(char, u64, u64)],
        room: &Room<char>,
    ) {
        let evictable = evictable
            .iter()
            .map(|&(key, last_used, n_bytes)| Evictable {
                key,
                last_used,
                n_bytes,
            });
        let memory = Memory {
            limit: 100,
            used,
            leaving,
        };
        assert_eq!(&super::room(memory, needed, evictable.collect()), room);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        check(0, 0, 100, &[], &Room::Fits);
        check(0, 0, 101, &[], &Room::Never);
        check(60, 0, 40, &[('a', 1, 60)], &Room::Fits);
        check(60, 0, 41, &[('a', 1, 60)], &Room::Evict(vec!['a']));
        check(
            60,
            0,
            41,
            &[('a', 9, 30), ('b', 2, 30)],
            &Room::Evict(vec!['b']),
        );
        check(
            60,
            0,
            90,
            &[('a', 9, 30), ('b', 2, 30)],
            &Room::Evict(vec!['b', 'a']),
        );
        // Versions being unloaded count, and none is evicted to no effect.
        check(60, 10, 41, &[('a', 1, 60)], &Room::Wait);
        check(90, 0, 41, &[('a', 1, 20)], &Room::Wait);
        check(u64::MAX, u64::MAX, 1, &[], &Room::Wait);
    }
}
