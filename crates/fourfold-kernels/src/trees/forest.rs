//! Many trees in a few arrays.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use super::set_bits::{SetBits, SetNode, is_outside, words_at};

/// The reason why nodes or bytes are not a forest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub(super) String);

impl Malformed {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Malformed(reason.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// The rule by which a split sends rows to the first of its children.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Those whose number is at most a threshold.
    AtMost {
        /// The threshold, any number but NaN.
        threshold: f32,
        /// Whether missing values go below too.
        missing_below: bool,
    },
    /// Those whose category is in a set; missing and unknown categories are not.
    OneOf {
        /// Bit `code % 32` of word `code / 32` says whether the category is in it.
        words: Vec<u32>,
    },
}

/// A node of one tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Sends rows to one of two children.
    Split {
        /// The feature.
        feature: u32,
        /// The rule for the rows that go to the first child.
        rule: Rule,
        /// The places of the children in the list of nodes.
        children: [u32; 2],
        /// The decrease of the loss by the split; 0 if it is not known.
        gain: f32,
    },
    /// Answers.
    Leaf {
        /// One output, or all outputs of the forest.
        outputs: Vec<f64>,
        /// The weight of the training rows that end here; NaN where it is not known.
        cover: f32,
    },
}

/// Trees that were trained on the same features, and whose outputs are added up.
///
/// The nodes of a tree are in the order of breadth-first search, the children of a split side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    pub(super) n_features: usize,
    pub(super) n_outputs: usize,
    /// Outputs of a leaf: all, or one: then tree `i` adds to output `i % n_outputs`.
    pub(super) leaf_width: usize,
    pub(super) nodes: Vec<FlatNode>,
    /// The root of each tree.
    pub(super) roots: Vec<u32>,
    /// The features that are looked at; nodes hold places in this list.
    pub(super) used: Vec<u32>,
    pub(super) leaf_outputs: Vec<f64>,
    /// Sets of categories: the number of words, then the words.
    pub(super) sets: Vec<u32>,
    /// The words of rows that splits by sets look at.
    pub(super) set_bits: SetBits,
    /// The cover of each node; empty if not known.
    pub(super) covers: Vec<f32>,
    /// The gain of each node, 0 for a leaf; empty if not known.
    pub(super) gains: Vec<f32>,
    pub(super) depth: usize,
}

/// A split; or a leaf, which leads to itself, so that rows that arrive early wait for the others.
///
/// A row stands before the walk as two words for each feature that is used (see [`words_of`]), followed by the
/// [`SetBits`] of its categories, so that one comparison of integers decides where it goes, a missing value included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FlatNode {
    /// The row goes to the second child if its word, masked, is higher. Of a leaf, the highest; of a split by a set, 0.
    pub(super) key: u32,
    /// The word of a row that is compared: twice the place in `used`, and the kind; or one of the [`SetBits`].
    pub(super) word: u32,
    /// The first child; the second is the next node. Of a leaf, the leaf.
    pub(super) first: u32,
    /// The bits of the word that are compared: all, or the one of the set. Of a leaf, the start of its outputs.
    pub(super) place: u32,
}

/// Words of a row for each feature that is used.
pub(super) const WORDS: usize = 2;
/// The kinds of splits by numbers, and the words that they look at.
const MISSING_ABOVE: u32 = 0;
const MISSING_BELOW: u32 = 1;

/// A number as splits look at it: integers of the same order, a missing one above all and below all.
#[inline]
pub(super) fn words_of(value: f32) -> [u32; WORDS] {
    let key = key_of(value);
    match value.is_nan() {
        true => [u32::MAX, 0],
        false => [key, key],
    }
}

/// An integer of the same order as the number; equal for both zeros.
#[inline]
fn key_of(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    bits ^ match bits >> 31 {
        0 => 1 << 31,
        _ => u32::MAX,
    }
}

impl FlatNode {
    pub(super) fn leaf(at: u32, outputs: u32) -> Self {
        FlatNode {
            key: u32::MAX,
            word: 0,
            first: at,
            place: outputs,
        }
    }

    pub(super) fn numbers(slot: u32, threshold: f32, missing_below: bool, first: u32) -> Self {
        let kind = match missing_below {
            true => MISSING_BELOW,
            false => MISSING_ABOVE,
        };
        FlatNode {
            key: key_of(threshold),
            word: slot * WORDS as u32 + kind,
            first,
            place: u32::MAX,
        }
    }

    /// A split by a set, whose word and bit are known once the forest is [finished](Forest::finish).
    pub(super) fn set(first: u32) -> Self {
        FlatNode {
            key: 0,
            word: 0,
            first,
            place: 0,
        }
    }

    /// Makes a split by a set look at a bit.
    pub(super) fn look_at(&mut self, word: u32, bit: usize) {
        self.word = word;
        self.place = 1 << bit;
    }

    /// The threshold of a split by numbers.
    pub(super) fn threshold(self) -> f32 {
        f32::from_bits(match self.key >> 31 {
            1 => self.key ^ 1 << 31,
            _ => !self.key,
        })
    }

    pub(super) fn missing_above(self) -> bool {
        self.word % WORDS as u32 == MISSING_ABOVE
    }
}

impl Forest {
    /// Puts the features that are used and the splits by sets into their places, once all nodes are there.
    pub(super) fn finish(&mut self, slots: Slots, splits: Vec<SetNode>) {
        self.used = slots.into_used();
        let first = self.n_number_words();
        self.set_bits = SetBits::arrange(splits, &mut self.nodes, &self.sets, first);
    }

    /// Words of a row that stand for numbers.
    pub(super) fn n_number_words(&self) -> usize {
        self.used.len().max(1) * WORDS
    }

    /// The place of the set of a split by one, and `None` for a split by numbers.
    pub(super) fn set_of(&self, node: FlatNode) -> Option<u32> {
        let word = (node.word as usize).checked_sub(self.n_number_words())?;
        Some(self.set_bits.set(word, node.place.trailing_zeros()))
    }

    /// The place of a split's feature among those that are used.
    pub(super) fn slot_of(&self, node: FlatNode) -> usize {
        match (node.word as usize).checked_sub(self.n_number_words()) {
            Some(word) => self.set_bits.slot(word),
            None => node.word as usize / WORDS,
        }
    }

    /// The second child of a split rather than the first, for a row that holds the features that are used.
    pub(super) fn goes_above(&self, node: FlatNode, slots: &[f32]) -> bool {
        let value = slots[self.slot_of(node)];
        match self.set_of(node) {
            Some(set) => is_outside(&self.sets, set, value),
            None => words_of(value)[node.word as usize % WORDS] > node.key,
        }
    }

    /// The width of a row.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// The number of outputs.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    /// The number of trees.
    #[must_use]
    pub fn n_trees(&self) -> usize {
        self.roots.len()
    }

    /// The number of nodes of all trees.
    #[must_use]
    pub fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The most splits between a root and a leaf.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Returns true if the covers of the nodes are known, which contributions need.
    #[must_use]
    pub fn has_covers(&self) -> bool {
        !self.covers.is_empty()
    }

    /// The nodes of a tree, in the order of breadth-first search.
    ///
    /// # Panics
    /// If there is no such tree.
    #[must_use]
    pub fn tree(&self, tree: usize) -> Vec<Node> {
        let (root, end) = self.span(tree);
        (root..end)
            .map(|at| {
                let node = self.nodes[at];
                if node.first as usize == at {
                    let first = node.place as usize;
                    return Node::Leaf {
                        outputs: self.leaf_outputs[first..first + self.leaf_width].to_vec(),
                        cover: self.covers.get(at).copied().unwrap_or(f32::NAN),
                    };
                }
                let child = node.first - root as u32;
                Node::Split {
                    feature: self.used[self.slot_of(node)],
                    rule: self.rule(node),
                    children: [child, child + 1],
                    gain: self.gains.get(at).copied().unwrap_or_default(),
                }
            })
            .collect()
    }

    fn rule(&self, node: FlatNode) -> Rule {
        if let Some(set) = self.set_of(node) {
            return Rule::OneOf {
                words: words_at(&self.sets, set).to_vec(),
            };
        }
        Rule::AtMost {
            threshold: node.threshold(),
            missing_below: !node.missing_above(),
        }
    }

    /// The range of the nodes of a tree.
    pub(super) fn span(&self, tree: usize) -> (usize, usize) {
        let end = self
            .roots
            .get(tree + 1)
            .map_or(self.nodes.len(), |end| *end as usize);
        (self.roots[tree] as usize, end)
    }

    /// For each feature, how many splits look at it and the sum of their gains.
    #[must_use]
    pub fn importances(&self) -> Vec<(u64, f64)> {
        let mut sums = vec![(0, 0.0); self.n_features];
        for (at, node) in self.nodes.iter().enumerate() {
            if node.first as usize != at {
                let (splits, gain) = &mut sums[self.used[self.slot_of(*node)] as usize];
                *splits += 1;
                *gain += f64::from(self.gains.get(at).copied().unwrap_or_default());
            }
        }
        sums
    }

    /// The first trees alone.
    #[must_use]
    pub fn first_trees(&self, n: usize) -> Forest {
        let mut builder = ForestBuilder::new(self.n_features, self.n_outputs, self.leaf_width);
        for tree in 0..n.min(self.n_trees()) {
            // These are trees of a forest already.
            let pushed = builder.push(&self.tree(tree));
            debug_assert!(pushed.is_ok());
        }
        builder.finish()
    }
}

/// Builds a [`Forest`] tree by tree.
#[derive(Debug)]
pub struct ForestBuilder {
    forest: Forest,
    slots: Slots,
    set_nodes: Vec<SetNode>,
    knows_covers: bool,
}

/// The places of features in the list of those that are used.
#[derive(Debug)]
pub(super) struct Slots {
    n_features: usize,
    /// The slots of the first features only, so that memory does not depend on the declared number of features.
    slot_of: Vec<u32>,
    others: HashMap<u32, u32>,
    used: Vec<u32>,
}

impl Slots {
    pub(super) fn new(n_features: usize) -> Self {
        Slots {
            n_features,
            slot_of: vec![u32::MAX; n_features.min(1 << 16)],
            others: HashMap::new(),
            used: Vec::new(),
        }
    }

    pub(super) fn of(&mut self, feature: u32) -> Result<u32, Malformed> {
        if feature as usize >= self.n_features {
            let n_features = self.n_features;
            return Err(Malformed::new(format!(
                "a split by feature {feature} of {n_features}"
            )));
        }
        let slot = match self.slot_of.get_mut(feature as usize) {
            Some(slot) => slot,
            None => self.others.entry(feature).or_insert(u32::MAX),
        };
        if *slot == u32::MAX {
            *slot = self.used.len() as u32;
            self.used.push(feature);
        }
        Ok(*slot)
    }

    pub(super) fn into_used(self) -> Vec<u32> {
        self.used
    }
}

/// Features and nodes are counted by 30 bits.
pub(super) const MOST_FEATURES: usize = 1 << 30;
/// Outputs, which are made for each row.
pub(super) const MOST_OUTPUTS: usize = 1 << 16;
/// The first whole number whose successor is no `f32`: categories stay below.
pub(super) const MOST_CATEGORIES: usize = 1 << 24;

impl ForestBuilder {
    /// No tree yet. A leaf has `n_outputs` outputs, or one: then tree `i` adds to output `i % n_outputs`.
    ///
    /// # Panics
    /// If there are no outputs or more than 2^16, a leaf has neither one nor all, or there are 2^30 features or more.
    #[must_use]
    pub fn new(n_features: usize, n_outputs: usize, leaf_width: usize) -> Self {
        assert!((1..=MOST_OUTPUTS).contains(&n_outputs));
        assert!(leaf_width == 1 || leaf_width == n_outputs);
        assert!(n_features < MOST_FEATURES);
        ForestBuilder {
            forest: Forest {
                n_features,
                n_outputs,
                leaf_width,
                nodes: Vec::new(),
                roots: Vec::new(),
                used: Vec::new(),
                leaf_outputs: Vec::new(),
                sets: Vec::new(),
                set_bits: SetBits::default(),
                covers: Vec::new(),
                gains: Vec::new(),
                depth: 0,
            },
            slots: Slots::new(n_features),
            set_nodes: Vec::new(),
            knows_covers: true,
        }
    }

    /// Adds a tree: its nodes in any order, the root first. Nodes that no other node leads to are left out.
    ///
    /// # Errors
    /// If the nodes are not a tree, a feature, threshold, set or output is out of its range, or there is no room.
    pub fn push(&mut self, nodes: &[Node]) -> Result<(), Malformed> {
        let forest = &mut self.forest;
        let lengths = (
            forest.nodes.len(),
            forest.leaf_outputs.len(),
            forest.sets.len(),
            self.set_nodes.len(),
        );
        let pushed = add_tree(forest, &mut self.slots, &mut self.set_nodes, nodes);
        match pushed {
            Ok(knows_covers) => {
                self.knows_covers &= knows_covers;
                forest.roots.push(lengths.0 as u32);
                Ok(())
            }
            Err(error) => {
                forest.nodes.truncate(lengths.0);
                forest.covers.truncate(lengths.0);
                forest.gains.truncate(lengths.0);
                forest.leaf_outputs.truncate(lengths.1);
                forest.sets.truncate(lengths.2);
                self.set_nodes.truncate(lengths.3);
                Err(error)
            }
        }
    }

    /// The forest.
    #[must_use]
    pub fn finish(self) -> Forest {
        let mut forest = self.forest;
        forest.finish(self.slots, self.set_nodes);
        if !self.knows_covers {
            forest.covers = Vec::new();
            forest.gains = Vec::new();
        }
        forest
    }
}

fn add_tree(
    forest: &mut Forest,
    slots: &mut Slots,
    set_nodes: &mut Vec<SetNode>,
    nodes: &[Node],
) -> Result<bool, Malformed> {
    let root = forest.nodes.len();
    let too_many = || Malformed::new("a forest of more than 2^32 nodes or outputs");
    u32::try_from(root + nodes.len()).map_err(|_| too_many())?;
    if nodes.is_empty() {
        return Err(Malformed::new("a tree without a node"));
    }
    let mut seen = vec![false; nodes.len()];
    seen[0] = true;
    let mut queue = VecDeque::from([(0_usize, 0_usize)]);
    let mut next = root + 1;
    let mut knows_covers = true;
    while let Some((node, depth)) = queue.pop_front() {
        let at = forest.nodes.len() as u32;
        match &nodes[node] {
            Node::Leaf { outputs, cover } => {
                if outputs.len() != forest.leaf_width {
                    return Err(Malformed::new(format!(
                        "a leaf of {} outputs, must have {}",
                        outputs.len(),
                        forest.leaf_width
                    )));
                }
                if let Some(bad) = outputs.iter().find(|output| !output.is_finite()) {
                    return Err(Malformed::new(format!("an output of {bad}")));
                }
                knows_covers &= *cover >= 0.0 && cover.is_finite();
                let first = u32::try_from(forest.leaf_outputs.len()).map_err(|_| too_many())?;
                forest.leaf_outputs.extend(outputs);
                forest.nodes.push(FlatNode::leaf(at, first));
                forest.covers.push(*cover);
                forest.gains.push(0.0);
                forest.depth = forest.depth.max(depth);
            }
            Node::Split {
                feature,
                rule,
                children,
                gain,
            } => {
                for child in children {
                    let new = seen.get_mut(*child as usize).filter(|seen| !**seen);
                    let new = new.ok_or_else(|| {
                        Malformed::new(format!("node {node} leads to {child}, which makes no tree"))
                    })?;
                    *new = true;
                    queue.push_back((*child as usize, depth + 1));
                }
                let slot = slots.of(*feature)?;
                let first = next as u32;
                next += 2;
                forest.nodes.push(match rule {
                    Rule::AtMost {
                        threshold,
                        missing_below,
                    } => {
                        if threshold.is_nan() {
                            return Err(Malformed::new("a threshold of NaN"));
                        }
                        FlatNode::numbers(slot, *threshold, *missing_below, first)
                    }
                    Rule::OneOf { words } => {
                        if words.len() > MOST_CATEGORIES / 32 {
                            return Err(Malformed::new(format!(
                                "a set of {} categories, at most {MOST_CATEGORIES}",
                                words.len() * 32
                            )));
                        }
                        let set = u32::try_from(forest.sets.len()).map_err(|_| too_many())?;
                        let n_words = words.len() as u32;
                        forest.sets.push(n_words);
                        forest.sets.extend(words);
                        set_nodes.push(SetNode {
                            node: at,
                            slot,
                            set,
                        });
                        FlatNode::set(first)
                    }
                });
                forest.covers.push(0.0);
                forest
                    .gains
                    .push(if gain.is_finite() { *gain } else { 0.0 });
            }
        }
    }
    add_covers(&forest.nodes, root, &mut forest.covers);
    Ok(knows_covers)
}

/// The cover of each split, the sum of its children's.
pub(super) fn add_covers(nodes: &[FlatNode], root: usize, covers: &mut [f32]) {
    for at in (root..nodes.len()).rev() {
        let first = nodes[at].first as usize;
        if first != at {
            covers[at] = covers[first] + covers[first + 1];
        }
    }
}
