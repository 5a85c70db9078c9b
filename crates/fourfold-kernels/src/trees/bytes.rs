//! The stored form of a forest.
//!
//! Little-endian, column by column, after a header of 48 bytes: the nodes' kinds (2 bits each), then of each split its
//! feature, its threshold or the place of its set, and its gain; of each leaf its outputs and its cover; the sets; and
//! a checksum of all that. Children are implied by the order of breadth-first search. Loading copies arrays and checks
//! them; nothing is allocated that the bytes are not there for.

use super::forest::{FlatNode, MOST_CATEGORIES, MOST_FEATURES, MOST_OUTPUTS, Slots, add_covers};
use super::set_bits::{SetBits, SetNode};
use super::{Forest, Malformed};

const MAGIC: [u8; 8] = *b"fourtree";
const VERSION: u32 = 1;
const HEADER: usize = 48;
const HAS_COVERS: u32 = 1;

const LEAF: u8 = 0;
const MISSING_ABOVE: u8 = 1;
const MISSING_BELOW: u8 = 2;
const SET: u8 = 3;

impl Forest {
    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let n_splits = (self.nodes.len() - self.roots.len()) / 2;
        let flags = if self.has_covers() { HAS_COVERS } else { 0 };
        let mut bytes = Vec::with_capacity(HEADER + self.nodes.len() * 16);
        bytes.extend(MAGIC);
        let header = [
            VERSION,
            flags,
            self.n_features as u32,
            self.n_outputs as u32,
            self.leaf_width as u32,
            self.roots.len() as u32,
            n_splits as u32,
            self.sets.len() as u32,
            self.depth as u32,
            0,
        ];
        bytes.extend(header.into_iter().flat_map(u32::to_le_bytes));
        let is_leaf = |at: usize| self.nodes[at].first as usize == at;
        for tree in 0..self.n_trees() {
            let (root, end) = self.span(tree);
            bytes.extend((((end - root) / 2) as u32).to_le_bytes());
        }
        for nodes in self.nodes.chunks(4).enumerate() {
            let (chunk, nodes) = nodes;
            let kinds = nodes.iter().enumerate().map(|(lane, node)| {
                let kind = match () {
                    () if is_leaf(chunk * 4 + lane) => LEAF,
                    () if self.set_of(*node).is_some() => SET,
                    () if node.missing_above() => MISSING_ABOVE,
                    () => MISSING_BELOW,
                };
                kind << (2 * lane)
            });
            bytes.push(kinds.fold(0, |all, kind| all | kind));
        }
        let splits = || (0..self.nodes.len()).filter(|at| !is_leaf(*at));
        let leaves = || (0..self.nodes.len()).filter(|at| is_leaf(*at));
        for at in splits() {
            let feature = self.used[self.slot_of(self.nodes[at])];
            match wide(self.n_features) {
                true => bytes.extend(feature.to_le_bytes()),
                false => bytes.extend((feature as u16).to_le_bytes()),
            }
        }
        for at in splits() {
            let node = self.nodes[at];
            let word = self
                .set_of(node)
                .unwrap_or_else(|| node.threshold().to_bits());
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(
            self.leaf_outputs
                .iter()
                .flat_map(|output| output.to_le_bytes()),
        );
        if self.has_covers() {
            bytes.extend(splits().flat_map(|at| self.gains[at].to_le_bytes()));
            bytes.extend(leaves().flat_map(|at| self.covers[at].to_le_bytes()));
        }
        bytes.extend(self.sets.iter().flat_map(|word| word.to_le_bytes()));
        let sum = checksum(&bytes);
        bytes.extend(sum.to_le_bytes());
        bytes
    }

    /// A forest from its stored form.
    ///
    /// # Errors
    /// If the bytes are not one, are damaged or are of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Forest, Malformed> {
        let cut = || Malformed::new("the stored forest ends early");
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or_else(cut)?;
        let mut rest = Rest(body);
        if rest.take(8)? != MAGIC {
            return Err(Malformed::new("the file is no stored forest"));
        }
        let version = rest.word()?;
        if version != VERSION {
            return Err(Malformed::new(format!(
                "a stored forest of version {version}, this release reads {VERSION}"
            )));
        }
        if checksum(body) != u64::from_le_bytes(*sum) {
            return Err(Malformed::new(
                "the stored forest is damaged: its checksum differs",
            ));
        }
        let flags = rest.word()?;
        let n_features = rest.word()? as usize;
        let n_outputs = rest.word()? as usize;
        let leaf_width = rest.word()? as usize;
        let n_trees = rest.word()? as usize;
        let n_splits = rest.word()? as usize;
        let n_set_words = rest.word()? as usize;
        let depth = rest.word()? as usize;
        rest.word()?;
        let shapes = n_features < MOST_FEATURES
            && (1..=MOST_OUTPUTS).contains(&n_outputs)
            && (leaf_width == 1 || leaf_width == n_outputs)
            && flags <= HAS_COVERS;
        if !shapes {
            return Err(Malformed::new(format!(
                "a stored forest of {n_features} features, {n_outputs} outputs and leaves of {leaf_width}"
            )));
        }
        let n_leaves = n_splits + n_trees;
        let n_nodes = n_splits + n_leaves;
        u32::try_from(n_nodes).map_err(|_| Malformed::new("a stored forest of too many nodes"))?;
        let sizes = rest.words(n_trees)?;
        let kinds = rest.take(n_nodes.div_ceil(4))?;
        let features: Vec<u32> = match wide(n_features) {
            true => rest.words(n_splits)?.collect(),
            false => {
                let halves = rest.take(2 * n_splits)?.as_chunks::<2>().0;
                halves
                    .iter()
                    .map(|half| u32::from(u16::from_le_bytes(*half)))
                    .collect()
            }
        };
        let mut words = rest.words(n_splits)?;
        let n_leaf_outputs = n_leaves.checked_mul(leaf_width).ok_or_else(cut)?;
        let outputs = rest.take(n_leaf_outputs.checked_mul(8).ok_or_else(cut)?)?;
        let leaf_outputs: Vec<f64> = outputs
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| f64::from_le_bytes(*bytes))
            .collect();
        if let Some(bad) = leaf_outputs.iter().find(|output| !output.is_finite()) {
            return Err(Malformed::new(format!(
                "an output of {bad} in a stored forest"
            )));
        }
        let has_covers = flags & HAS_COVERS != 0;
        let (mut gains_of, mut covers_of) = (None, None);
        if has_covers {
            gains_of = Some(rest.words(n_splits)?.map(f32::from_bits));
            covers_of = Some(rest.words(n_leaves)?.map(f32::from_bits));
        }
        let sets: Vec<u32> = rest.words(n_set_words)?.collect();
        if !rest.0.is_empty() {
            return Err(Malformed::new("a stored forest with bytes left over"));
        }
        // The starts of the sets, so that a split leads to one.
        let mut begins = vec![false; sets.len()];
        let mut at = 0;
        while at < sets.len() {
            begins[at] = true;
            at = at.saturating_add(1 + sets[at] as usize);
        }
        if at != sets.len() || sets.len() > u32::MAX as usize {
            return Err(Malformed::new("the sets of a stored forest do not add up"));
        }
        let mut forest = Forest {
            n_features,
            n_outputs,
            leaf_width,
            nodes: Vec::with_capacity(n_nodes),
            roots: Vec::with_capacity(n_trees),
            used: Vec::new(),
            leaf_outputs,
            sets,
            set_bits: SetBits::default(),
            covers: Vec::with_capacity(if has_covers { n_nodes } else { 0 }),
            gains: Vec::with_capacity(if has_covers { n_nodes } else { 0 }),
            depth,
        };
        let mut slots = Slots::new(n_features);
        let mut set_nodes = Vec::new();
        let mut features = features.into_iter();
        let mut leaves = (0..).step_by(leaf_width);
        let no_tree = || Malformed::new("the nodes of a stored forest do not form trees");
        let mut deepest = 0;
        let mut depths: Vec<u32> = Vec::new();
        for size in sizes {
            let root = forest.nodes.len();
            let end = root + 2 * size as usize + 1;
            if end > n_nodes {
                return Err(no_tree());
            }
            forest.roots.push(root as u32);
            let mut next = root + 1;
            depths.clear();
            depths.push(0);
            for at in root..end {
                // Every node but the root is a child of one before it.
                let depth = *depths.get(at - root).ok_or_else(no_tree)?;
                let kind = kinds[at / 4] >> (2 * (at % 4)) & 3;
                if kind == LEAF {
                    let first = leaves.next().ok_or_else(no_tree)?;
                    forest.nodes.push(FlatNode::leaf(at as u32, first));
                    deepest = deepest.max(depth as usize);
                    if let Some(covers) = &mut covers_of {
                        let cover = covers.next().ok_or_else(no_tree)?;
                        if !(cover >= 0.0 && cover.is_finite()) {
                            return Err(Malformed::new(format!(
                                "a cover of {cover} in a stored forest"
                            )));
                        }
                        forest.covers.push(cover);
                        forest.gains.push(0.0);
                    }
                    continue;
                }
                let slot = slots.of(features.next().ok_or_else(no_tree)?)?;
                let word = words.next().ok_or_else(no_tree)?;
                let first = next as u32;
                next += 2;
                depths.extend([depth + 1; 2]);
                forest.nodes.push(if kind == SET {
                    let found = begins.get(word as usize).copied().unwrap_or_default();
                    let size = forest.sets.get(word as usize).copied().unwrap_or_default();
                    if !found || size as usize > MOST_CATEGORIES / 32 {
                        return Err(Malformed::new(
                            "a stored forest splits by a set that is not there",
                        ));
                    }
                    set_nodes.push(SetNode {
                        node: at as u32,
                        slot,
                        set: word,
                    });
                    FlatNode::set(first)
                } else {
                    let threshold = f32::from_bits(word);
                    if threshold.is_nan() {
                        return Err(Malformed::new("a threshold of NaN in a stored forest"));
                    }
                    FlatNode::numbers(slot, threshold, kind == MISSING_BELOW, first)
                });
                if let Some(gains) = &mut gains_of {
                    forest.gains.push(gains.next().ok_or_else(no_tree)?);
                    forest.covers.push(0.0);
                }
            }
            if next != end {
                return Err(no_tree());
            }
            if has_covers {
                add_covers(&forest.nodes, root, &mut forest.covers);
            }
        }
        if forest.nodes.len() != n_nodes || deepest != depth {
            return Err(no_tree());
        }
        forest.finish(slots, set_nodes);
        Ok(forest)
    }
}

/// Returns true if a feature takes four bytes rather than two.
fn wide(n_features: usize) -> bool {
    n_features > 1 << 16
}

/// The bytes that are left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .0
            .split_at_checked(n)
            .ok_or_else(|| Malformed::new("the stored forest ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u32, Malformed> {
        let mut words = self.words(1)?;
        Ok(words.next().unwrap_or_default())
    }

    fn words(&mut self, n: usize) -> Result<impl Iterator<Item = u32> + use<'a>, Malformed> {
        let bytes = n
            .checked_mul(4)
            .ok_or_else(|| Malformed::new("the stored forest ends early"))?;
        let words = self.take(bytes)?.as_chunks::<4>().0;
        Ok(words.iter().map(|word| u32::from_le_bytes(*word)))
    }
}

/// Changes with every bit.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]);
    words.fold(bytes.len() as u64, |sum, word| {
        let mixed = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
        mixed ^ mixed >> 29
    })
}
