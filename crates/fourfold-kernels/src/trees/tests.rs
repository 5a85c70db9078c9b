//! Rows to learn from, and the plainest way down a tree.

mod bagging;
mod boosting;
mod forests;
mod shap;

use std::ops::ControlFlow;

use super::random::{mix, unit};
use super::*;
use crate::columns::MISSING_CODE;

/// Rows of two numbers (one with ties and NaN), a category and a sparse column of two ids.
struct Table {
    first: Vec<f32>,
    second: Vec<f32>,
    codes: Vec<u32>,
    offsets: Vec<usize>,
    ids: Vec<u32>,
    values: Vec<f32>,
    labels: Vec<f64>,
}

const N_FEATURES: usize = 5;

fn table(n: usize, seed: u64) -> Table {
    let mut table = Table {
        first: Vec::new(),
        second: Vec::new(),
        codes: Vec::new(),
        offsets: vec![0],
        ids: Vec::new(),
        values: Vec::new(),
        labels: Vec::new(),
    };
    for row in 0..n as u64 {
        let draw = |what: u64| unit(mix(seed, what), row);
        let first = draw(0) as f32 * 4.0 - 2.0;
        let tied = (draw(1) * 8.0).floor() as f32;
        let is_missing = draw(2) < 0.2;
        let code = (draw(3) * draw(4) * 40.0) as u32;
        let is_on = draw(5) < 0.3;
        table.first.push(first);
        table.second.push(if is_missing { f32::NAN } else { tied });
        table
            .codes
            .push(if draw(6) < 0.1 { MISSING_CODE } else { code });
        if is_on {
            table.ids.push(1);
            table.values.push(1.0 + draw(8) as f32);
        }
        table.offsets.push(table.ids.len());
        let effect = f64::from(code % 7) / 3.0 - 1.0;
        let score = f64::from(first)
            + effect
            + if is_missing {
                1.0
            } else {
                f64::from(tied) / 8.0
            }
            - if is_on { 1.5 } else { 0.0 };
        table.labels.push(f64::from(u8::from(
            draw(9) < 1.0 / (1.0 + (-1.5 * score).exp()),
        )));
    }
    table
}

impl Table {
    fn columns(&self) -> Vec<Column<'_>> {
        vec![
            Column::Numbers(&self.first),
            Column::Numbers(&self.second),
            Column::Codes {
                codes: &self.codes,
                n_categories: 40,
            },
            Column::Sparse {
                offsets: &self.offsets,
                ids: &self.ids,
                values: &self.values,
                width: 2,
            },
        ]
    }

    fn row(&self, row: usize) -> [f32; N_FEATURES] {
        let code = self.codes[row];
        let code = if code == MISSING_CODE {
            f32::NAN
        } else {
            code as f32
        };
        let (from, to) = (self.offsets[row], self.offsets[row + 1]);
        let on = if from < to { self.values[from] } else { 0.0 };
        [self.first[row], self.second[row], code, 0.0, on]
    }

    fn boosted(&self, objective: Objective, options: &BoostOptions) -> Boosted {
        boost(
            self.examples(&self.columns()),
            None,
            objective,
            options,
            &mut |_| ControlFlow::Continue(()),
            &|| false,
        )
    }

    fn examples<'a>(&'a self, columns: &'a [Column<'a>]) -> Examples<'a> {
        Examples {
            columns,
            labels: &self.labels,
            weights: None,
            base: None,
        }
    }

    fn loss(&self, boosted: &Boosted) -> f64 {
        let scores = sums(
            &boosted.forest,
            &self.columns(),
            self.labels.len(),
            &boosted.base,
            1,
        );
        Objective::Binary.loss(&scores, &self.labels, None, 1)
    }
}

fn sums(
    forest: &Forest,
    columns: &[Column<'_>],
    n_rows: usize,
    base: &[f64],
    threads: usize,
) -> Vec<f64> {
    let widths: Vec<usize> = columns.iter().map(tree_width).collect();
    forest.sums_of_columns(columns, &forest.places(&widths), n_rows, base, threads)
}

fn small() -> BoostOptions {
    BoostOptions {
        rounds: 20,
        max_leaves: 8,
        ..BoostOptions::default()
    }
}

/// The plainest walk down the nodes, from their definition.
fn plain(nodes: &[Node], row: &[f32]) -> Vec<f64> {
    let mut at = 0;
    loop {
        match &nodes[at] {
            Node::Leaf { outputs, .. } => return outputs.clone(),
            Node::Split {
                feature,
                rule,
                children,
                ..
            } => {
                let value = row[*feature as usize];
                let below = match rule {
                    Rule::AtMost {
                        threshold,
                        missing_below,
                    } => {
                        if value.is_nan() {
                            *missing_below
                        } else {
                            value <= *threshold
                        }
                    }
                    Rule::OneOf { words } => {
                        !value.is_nan()
                            && words
                                .get(value as usize / 32)
                                .is_some_and(|word| word >> (value as usize % 32) & 1 == 1)
                    }
                };
                at = children[usize::from(!below)] as usize;
            }
        }
    }
}
