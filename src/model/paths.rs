//! The places of columns by the names of a row's fields.

use std::collections::HashMap;

/// The columns of the fields of a row; fields of nested structs are named by path, `a.b`.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    nodes: Vec<Node>,
}

/// The fields of a row, or of a struct in it.
#[derive(Clone, Debug, Default)]
struct Node {
    /// The fields, in the order in which they are most likely to come.
    entries: Vec<(String, Place)>,
    /// The indexes of the entries, sorted by name.
    sorted: Vec<usize>,
}

/// The place of a field.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// The column that a value goes to.
    pub(crate) column: Option<usize>,
    /// The node that holds the fields of a struct.
    pub(crate) node: Option<usize>,
}

impl Paths {
    /// The node of the fields of a row.
    pub(crate) const ROOT: usize = 0;

    /// The paths of columns, in the order in which they are most likely to come.
    pub(super) fn new<'p>(columns: impl IntoIterator<Item = (&'p str, usize)>) -> Self {
        let mut paths = Paths {
            nodes: vec![Node::default()],
        };
        let mut known = HashMap::new();
        for (path, column) in columns {
            paths.add(path, column, &mut known);
        }
        for node in &mut paths.nodes {
            node.sorted = (0..node.entries.len()).collect();
            node.sorted.sort_by_key(|at| &node.entries[*at].0);
        }
        paths
    }

    /// Adds a column; `known` are the entries of each node by name.
    fn add<'p>(
        &mut self,
        path: &'p str,
        column: usize,
        known: &mut HashMap<(usize, &'p str), usize>,
    ) {
        let (mut node, mut rest) = (Self::ROOT, path);
        loop {
            self.place_of(node, rest, known)
                .column
                .get_or_insert(column);
            let Some((name, after)) = rest.split_once('.') else {
                return;
            };
            let new = self.nodes.len();
            let child = *self.place_of(node, name, known).node.get_or_insert(new);
            if child == new {
                self.nodes.push(Node::default());
            }
            (node, rest) = (child, after);
        }
    }

    fn place_of<'p>(
        &mut self,
        node: usize,
        name: &'p str,
        known: &mut HashMap<(usize, &'p str), usize>,
    ) -> &mut Place {
        let entries = &mut self.nodes[node].entries;
        let at = *known.entry((node, name)).or_insert_with(|| {
            entries.push((name.to_owned(), Place::default()));
            entries.len() - 1
        });
        &mut entries[at].1
    }

    /// The names of the fields of a row, or of a struct in it.
    pub(crate) fn names(&self, node: usize) -> impl Iterator<Item = &str> {
        let entries = self.nodes.get(node).into_iter();
        entries.flat_map(|node| node.entries.iter().map(|(name, _)| name.as_str()))
    }

    /// Finds a field by its name; at `next` first, which then is the index after it.
    #[inline]
    pub(crate) fn find(&self, node: usize, name: &str, next: &mut usize) -> Option<Place> {
        let node = self.nodes.get(node)?;
        if let Some((known, place)) = node.entries.get(*next)
            && known == name
        {
            *next += 1;
            return Some(*place);
        }
        let found = node
            .sorted
            .binary_search_by(|at| node.entries[*at].0.as_str().cmp(name));
        let at = node.sorted[found.ok()?];
        *next = at + 1;
        Some(node.entries[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_order_and_at_any_depth() {
        let paths = Paths::new([("b", 0), ("a.x", 1), ("a.y.z", 2), ("a", 3), ("c", 4)]);
        let mut next = 0;
        let mut column = |node, name: &str| Some(paths.find(node, name, &mut next)?.column);
        let root = Paths::ROOT;
        assert_eq!(column(root, "c"), Some(Some(4)));
        assert_eq!(column(root, "b"), Some(Some(0)));
        assert_eq!(column(root, "a.x"), Some(Some(1)));
        assert_eq!(column(root, "a"), Some(Some(3)));
        assert_eq!(column(root, "x"), None);
        let a = paths.find(root, "a", &mut 0).unwrap().node.unwrap();
        assert_eq!(paths.find(a, "x", &mut 0).unwrap().column, Some(1));
        assert_eq!(paths.find(a, "y.z", &mut 0).unwrap().column, Some(2));
        let y = paths.find(a, "y", &mut 0).unwrap();
        assert_eq!(y.column, None);
        let z = paths.find(y.node.unwrap(), "z", &mut 7).unwrap();
        assert_eq!(z.column, Some(2));
    }
}
