//! CSV files with the same columns in different orders: they are read by name.

use std::collections::HashMap;
use std::sync::Arc;

/// The place in the table of each column of a file, where that has another order.
pub(super) type Order = Option<Arc<[usize]>>;

/// The order of a file's columns relative to those of the first file, or how the two differ.
pub(super) fn order_of(names: &[String], first: &[String]) -> Result<Order, String> {
    if names == first {
        return Ok(None);
    }
    let places: HashMap<&str, usize> = (0..first.len())
        .map(|at| (first[at].as_str(), at))
        .collect();
    let order = names
        .iter()
        .map(|name| places.get(name.as_str()).copied().ok_or(name));
    let order: Vec<usize> = match order.collect() {
        Ok(order) => order,
        Err(name) if name.is_empty() => return Err("it has a column without a name".to_owned()),
        Err(name) => return Err(format!("it has a column `{name}` that the other has not")),
    };
    let mut is_there = vec![false; first.len()];
    order.iter().for_each(|at| is_there[*at] = true);
    match is_there.iter().position(|is_there| !is_there) {
        Some(at) => Err(format!("it has no column `{}`", first[at])),
        None if names.len() == first.len() => Ok(Some(order.into())),
        None => Err("the names are not unique".to_owned()),
    }
}

/// The items of the table's columns in the order of a file.
pub(super) fn arranged<T>(items: Vec<T>, order: &[usize]) -> Vec<T> {
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    let of_file = order.iter().filter_map(|at| items.get_mut(*at)?.take());
    of_file.collect()
}

/// The items of a file's columns in the order of the table.
pub(super) fn restored<T>(items: Vec<T>, order: &[usize]) -> Vec<T> {
    let mut items: Vec<(usize, T)> = order.iter().copied().zip(items).collect();
    items.sort_unstable_by_key(|(at, _)| *at);
    items.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &str, first: &str) -> Result<Option<Vec<usize>>, String> {
        let split = |names: &str| names.split(',').map(str::to_owned).collect::<Vec<_>>();
        let order = order_of(&split(names), &split(first))?;
        Ok(order.map(|order| order.to_vec()))
    }

    #[test]
    fn columns_are_found_by_name() {
        assert_eq!(of("a,b", "a,b"), Ok(None));
        assert_eq!(of("c,a,b", "a,b,c"), Ok(Some(vec![2, 0, 1])));
        assert_eq!(of(",a", ",a"), Ok(None));
        let differ = |names, first| of(names, first).unwrap_err();
        assert_eq!(
            differ("a,c", "a,b"),
            "it has a column `c` that the other has not"
        );
        assert_eq!(differ("a", "a,b"), "it has no column `b`");
        assert_eq!(differ("a,", "a,b"), "it has a column without a name");
        assert_eq!(differ("a,b,b", "a,b"), "the names are not unique");
    }

    #[test]
    fn items_are_arranged_and_restored() {
        let order = [2, 0, 1];
        let of_file = arranged(vec!["a", "b", "c"], &order);
        assert_eq!(of_file, ["c", "a", "b"]);
        assert_eq!(restored(of_file, &order), ["a", "b", "c"]);
    }
}
