//! The contribution of each feature to an output: exact Shapley values of trees.
//!
//! TreeSHAP with the trees' own covers as the distribution of the features (Lundberg, Erion, Lee: Consistent
//! individualized feature attribution for tree ensembles, 2018, algorithm 2).

use super::{Forest, Malformed};

/// Deeper trees would take quadratic memory and a deep stack.
const MOST_DEPTH: usize = 512;

/// A feature on the path to a node: the shares of the subsets that flow through with it known or unknown.
#[derive(Clone, Copy, Debug)]
struct Step {
    slot: usize,
    /// The share of the cover that goes this way if the feature is unknown.
    unknown: f64,
    /// 1 if the row goes this way, else 0.
    known: f64,
    weight: f64,
}

/// No feature: the beginning of a path.
const NONE: usize = usize::MAX;

impl Forest {
    /// Adds to `sums`, `(n_outputs, n_features + 1)`, what each feature of a row contributes to each output; the last
    /// is the mean output over the training rows. Added up, those of an output are the output.
    ///
    /// # Errors
    /// If the covers are not known or a tree is deeper than 512.
    pub fn add_contributions(&self, row: &[f32], sums: &mut [f64]) -> Result<(), Malformed> {
        if !self.has_covers() {
            return Err(Malformed::new(
                "contributions need the covers of the nodes, which this forest lacks",
            ));
        }
        if self.depth > MOST_DEPTH {
            return Err(Malformed::new(format!(
                "contributions of trees {} deep, must be at most {MOST_DEPTH}",
                self.depth
            )));
        }
        let slots = self.slots_of(row);
        let width = self.n_features + 1;
        let mut of_slots = vec![0.0; self.used.len() * self.leaf_width];
        for (tree, root) in self.roots.iter().enumerate() {
            let first_output = if self.leaf_width == 1 {
                tree % self.n_outputs
            } else {
                0
            };
            of_slots.fill(0.0);
            let mut walk = Walk {
                forest: self,
                slots: &slots,
                sums: &mut of_slots,
            };
            walk.down(
                *root as usize,
                &[],
                Step {
                    slot: NONE,
                    unknown: 1.0,
                    known: 1.0,
                    weight: 1.0,
                },
            );
            for (at, sum) in of_slots.iter().enumerate() {
                let (slot, output) = (at / self.leaf_width, at % self.leaf_width);
                sums[(first_output + output) * width + self.used[slot] as usize] += sum;
            }
            for (output, mean) in self.means(*root as usize).into_iter().enumerate() {
                sums[(first_output + output) * width + self.n_features] += mean;
            }
        }
        Ok(())
    }

    /// The mean outputs of a tree, by cover.
    fn means(&self, root: usize) -> Vec<f64> {
        let mut means = vec![0.0; self.leaf_width];
        let mut stack = vec![(root, 1.0)];
        while let Some((at, share)) = stack.pop() {
            let node = self.nodes[at];
            let first = node.first as usize;
            if first == at {
                let outputs = &self.leaf_outputs[node.place as usize..];
                means
                    .iter_mut()
                    .zip(outputs)
                    .for_each(|(mean, output)| *mean += share * output);
                continue;
            }
            for child in [first + 1, first] {
                stack.push((child, share * self.share_of(child, at)));
            }
        }
        means
    }

    /// The share of a node's cover that goes to a child of it.
    fn share_of(&self, child: usize, node: usize) -> f64 {
        match f64::from(self.covers[node]) {
            // No training row came here: as if half went each way.
            0.0 => 0.5,
            cover => f64::from(self.covers[child]) / cover,
        }
    }
}

struct Walk<'a> {
    forest: &'a Forest,
    slots: &'a [f32],
    /// `(n_slots, leaf_width)`.
    sums: &'a mut [f64],
}

impl Walk<'_> {
    fn down(&mut self, at: usize, path: &[Step], step: Step) {
        let mut path = extend(path, step);
        let forest = self.forest;
        let node = forest.nodes[at];
        let first = node.first as usize;
        if first == at {
            let outputs = &forest.leaf_outputs[node.place as usize..][..forest.leaf_width];
            for (place, step) in path.iter().enumerate().skip(1) {
                let weight = sum_without(&path, place) * (step.known - step.unknown);
                let sums = &mut self.sums[step.slot * forest.leaf_width..];
                sums.iter_mut()
                    .zip(outputs)
                    .for_each(|(sum, output)| *sum += weight * output);
            }
            return;
        }
        let slot = forest.slot_of(node);
        let (mut unknown, mut known) = (1.0, 1.0);
        // A feature counts once, however often the path splits by it.
        if let Some(place) = path.iter().position(|step| step.slot == slot) {
            (unknown, known) = (path[place].unknown, path[place].known);
            unwind(&mut path, place);
        }
        let hot = first + usize::from(forest.goes_above(node, self.slots));
        for child in [first, first + 1] {
            let step = Step {
                slot,
                unknown: unknown * forest.share_of(child, at),
                known: if child == hot { known } else { 0.0 },
                weight: 0.0,
            };
            // No subset of the features leads there.
            if (step.unknown, step.known) != (0.0, 0.0) {
                self.down(child, &path, step);
            }
        }
    }
}

/// The path with one more step: subsets grow by one.
fn extend(path: &[Step], step: Step) -> Vec<Step> {
    let n = path.len();
    let mut longer = Vec::with_capacity(n + 1);
    longer.extend_from_slice(path);
    longer.push(Step {
        weight: if n == 0 { 1.0 } else { 0.0 },
        ..step
    });
    for at in (0..n).rev() {
        let weight = longer[at].weight;
        longer[at + 1].weight += step.known * weight * (at + 1) as f64 / (n + 1) as f64;
        longer[at].weight = step.unknown * weight * (n - at) as f64 / (n + 1) as f64;
    }
    longer
}

/// Takes a step out of a path again.
fn unwind(path: &mut Vec<Step>, place: usize) {
    let n = path.len() - 1;
    let Step { unknown, known, .. } = path[place];
    let mut next = path[n].weight;
    for at in (0..n).rev() {
        if known != 0.0 {
            let weight = path[at].weight;
            path[at].weight = next * (n + 1) as f64 / ((at + 1) as f64 * known);
            next = weight - path[at].weight * unknown * (n - at) as f64 / (n + 1) as f64;
        } else {
            path[at].weight = path[at].weight * (n + 1) as f64 / (unknown * (n - at) as f64);
        }
    }
    for at in place..n {
        path[at] = Step {
            weight: path[at].weight,
            ..path[at + 1]
        };
    }
    path.pop();
}

/// The sum of the weights of a path without one of its steps.
fn sum_without(path: &[Step], place: usize) -> f64 {
    let n = path.len() - 1;
    let Step { unknown, known, .. } = path[place];
    let mut next = path[n].weight;
    let mut sum = 0.0;
    for at in (0..n).rev() {
        if known != 0.0 {
            let weight = next * (n + 1) as f64 / ((at + 1) as f64 * known);
            sum += weight;
            next = path[at].weight - weight * unknown * (n - at) as f64 / (n + 1) as f64;
        } else {
            sum += path[at].weight * (n + 1) as f64 / (unknown * (n - at) as f64);
        }
    }
    sum
}
