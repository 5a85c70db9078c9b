//! The trees of a previous model, moved to the features of now by name.
//!
//! A split by a feature that is gone is left out: rows go the way of missing values. A category that is gone is left out
//! of sets, and one that is new goes the way of categories that were never seen. That is the selective warm start of the TFX
//! paper (Baylor and others, KDD 2017), for trees.

use std::collections::HashMap;

use fourfold_kernels::trees::{ForestBuilder, Node, Rule};

use crate::error::{Error, Result};
use crate::features::{Feature, FeatureKind};
use crate::model::{ForestColumn, ForestModel, Predict};

/// The previous model on the features of now.
pub(super) struct Moved {
    pub(super) model: ForestModel,
    /// A description of the splits that had to be left out; `None` if the features are the same.
    pub(super) change: Option<String>,
}

/// The new place of a feature of the previous trees.
#[derive(Clone)]
enum Place {
    Gone,
    Number(u32),
    /// For each code of old, the one of now.
    Category(u32, Vec<Option<u32>>),
}

/// The features of now, by the names of their columns in the matrix.
struct Now<'a> {
    info: &'a [Feature],
    /// For each feature, its first feature of the trees.
    first: Vec<u32>,
    /// The feature, and the place among its columns.
    by_name: HashMap<&'a str, (usize, usize)>,
}

impl<'a> Now<'a> {
    fn new(info: &'a [Feature], names: &'a [String]) -> Self {
        let mut first = Vec::with_capacity(info.len());
        let mut width = 0;
        let mut by_name = HashMap::with_capacity(names.len());
        for (number, feature) in info.iter().enumerate() {
            first.push(width);
            width += match feature.kind {
                FeatureKind::Number | FeatureKind::Category => 1,
                FeatureKind::Sparse => feature.width as u32,
            };
            let own = &names[feature.first..feature.first + feature.width];
            by_name.extend(
                own.iter()
                    .enumerate()
                    .map(|(at, name)| (name.as_str(), (number, at))),
            );
        }
        Now {
            info,
            first,
            by_name,
        }
    }

    fn find(&self, name: &str, kind: FeatureKind) -> Option<(usize, usize)> {
        let place = self.by_name.get(name).copied();
        place.filter(|(number, _)| self.info[*number].kind == kind)
    }

    /// The new places of the features of a column of the previous trees.
    fn places(&self, column: ForestColumn, names: &[String]) -> Vec<Place> {
        let place = |name: &String, kind| match self.find(name, kind) {
            Some((number, at)) => Place::Number(self.first[number] + at as u32),
            None => Place::Gone,
        };
        match column {
            ForestColumn::Number => names
                .iter()
                .map(|name| place(name, FeatureKind::Number))
                .collect(),
            ForestColumn::Sparse(_) => names
                .iter()
                .map(|name| place(name, FeatureKind::Sparse))
                .collect(),
            ForestColumn::Category(_) => {
                let found = names
                    .iter()
                    .map(|name| self.find(name, FeatureKind::Category));
                let found: Vec<Option<(usize, usize)>> = found.collect();
                let Some((number, _)) = found.iter().flatten().next().copied() else {
                    return vec![Place::Gone];
                };
                let code = |found: Option<(usize, usize)>| {
                    found
                        .filter(|(other, _)| *other == number)
                        .map(|(_, at)| at as u32)
                };
                let codes = found.into_iter().map(code).collect();
                vec![Place::Category(self.first[number], codes)]
            }
        }
    }
}

/// The previous model, whose features have these names, on features of now; `None` if it is of a matrix, or of another
/// number of features than names.
pub(super) fn moved(
    model: &ForestModel,
    names: &[String],
    shapes: &[ForestColumn],
    info: &[Feature],
    names_now: &[String],
) -> Result<Option<Moved>> {
    let Some(columns) = model
        .columns()
        .filter(|_| model.n_features() == names.len())
    else {
        return Ok(None);
    };
    if columns == shapes && names == names_now {
        let model = model.clone();
        return Ok(Some(Moved {
            model,
            change: None,
        }));
    }
    let now = Now::new(info, names_now);
    let mut places = Vec::new();
    let mut first = 0;
    for column in columns {
        let end = first + column.matrix_width();
        places.extend(now.places(*column, &names[first..end]));
        first = end;
    }
    let forest = model.forest();
    let width = shapes.iter().map(|shape| shape.width()).sum();
    let mut builder = ForestBuilder::new(width, forest.n_outputs(), 1);
    for tree in 0..forest.n_trees() {
        let nodes = rewritten(&forest.tree(tree), &places);
        builder
            .push(&nodes)
            .map_err(|error| Error::model(error.to_string()))?;
    }
    let model =
        ForestModel::of_columns(shapes.to_vec(), model.combine().clone(), builder.finish())?;
    let is_known = |name: &&String| names.contains(name);
    let n_kept = names_now.iter().filter(is_known).count();
    let change = format!(
        "training continues the previous trees by the features' names: {} of {} are new, {} no longer exist",
        names_now.len() - n_kept,
        names_now.len(),
        names.len() - n_kept.min(names.len())
    );
    Ok(Some(Moved {
        model,
        change: Some(change),
    }))
}

/// A tree that looks at the features of now.
fn rewritten(nodes: &[Node], places: &[Place]) -> Vec<Node> {
    let mut made = vec![NOTHING];
    let mut open = vec![(0_usize, 0_usize)];
    while let Some((from, to)) = open.pop() {
        let (node, children) = resolved(nodes, places, from);
        made[to] = match node {
            Node::Split {
                feature,
                rule,
                gain,
                ..
            } => {
                let first = made.len() as u32;
                made.extend([NOTHING, NOTHING]);
                for (side, child) in children.into_iter().enumerate() {
                    open.push((child as usize, first as usize + side));
                }
                Node::Split {
                    feature,
                    rule,
                    children: [first, first + 1],
                    gain,
                }
            }
            leaf @ Node::Leaf { .. } => leaf,
        };
    }
    made
}

const NOTHING: Node = Node::Leaf {
    outputs: Vec::new(),
    cover: 0.0,
};

/// The node that rows get to which are at `at`, past splits that are left out; and its old children.
fn resolved(nodes: &[Node], places: &[Place], mut at: usize) -> (Node, [u32; 2]) {
    loop {
        let (feature, rule, children, gain) = match &nodes[at] {
            Node::Split {
                feature,
                rule,
                children,
                gain,
            } => (*feature, rule, *children, *gain),
            leaf @ Node::Leaf { .. } => return (leaf.clone(), [0, 0]),
        };
        let (moved, is_below) = match (&places[feature as usize], rule) {
            (Place::Number(place), rule @ Rule::AtMost { .. }) => {
                (Some((*place, rule.clone())), false)
            }
            (Place::Category(place, codes), Rule::OneOf { words }) => {
                let words = renamed(words, codes);
                let is_empty = words.is_empty();
                let split = (!is_empty).then_some((*place, Rule::OneOf { words }));
                (split, false)
            }
            (_, Rule::AtMost { missing_below, .. }) => (None, *missing_below),
            (_, Rule::OneOf { .. }) => (None, false),
        };
        match moved {
            Some((feature, rule)) => {
                let node = Node::Split {
                    feature,
                    rule,
                    children,
                    gain,
                };
                return (node, children);
            }
            None => at = children[usize::from(!is_below)] as usize,
        }
    }
}

/// A set of categories by the codes of now.
fn renamed(words: &[u32], codes: &[Option<u32>]) -> Vec<u32> {
    let is_in = |code: &usize| {
        words
            .get(code / 32)
            .is_some_and(|word| word >> (code % 32) & 1 == 1)
    };
    let mut made: Vec<u32> = Vec::new();
    for code in (0..codes.len())
        .filter(is_in)
        .filter_map(|code| codes[code])
    {
        let place = code as usize / 32;
        if made.len() <= place {
            made.resize(place + 1, 0);
        }
        made[place] |= 1 << (code % 32);
    }
    made
}
