//! Eigenvectors of a small symmetric matrix, for principal components.

use ndarray::{Array1, Array2};

/// Sweeps after which the rotations have long ended; ten are usual.
const MAX_SWEEPS: usize = 64;

/// The eigenvalues of a symmetric matrix `(n, n)`, from the largest, and its eigenvectors as columns `(n, n)` in the
/// same order, of length 1. Of a vector and its opposite, the one whose largest entry is positive is taken.
///
/// The cyclic Jacobi method (Golub and Van Loan, "Matrix Computations", section 8.5): the same bits for the same
/// matrix, accurate for small eigenvalues too, and quick enough for hundreds of columns.
pub(super) fn symmetric_eigen(mut a: Array2<f64>) -> (Array1<f64>, Array2<f64>) {
    let n = a.nrows();
    let mut v = Array2::eye(n);
    for _ in 0..MAX_SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                rotated |= rotate(&mut a, &mut v, p, q);
            }
        }
        if !rotated {
            break;
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| a[[*j, *j]].total_cmp(&a[[*i, *i]]));
    let values = order.iter().map(|i| a[[*i, *i]]).collect();
    let mut vectors = Array2::zeros((n, n));
    for (to, from) in order.iter().enumerate() {
        let column = v.column(*from);
        let largest = column.iter().fold(0.0_f64, |best, x| {
            if x.abs() > best.abs() + 1e-12 {
                *x
            } else {
                best
            }
        });
        vectors.column_mut(to).assign(&(&column * largest.signum()));
    }
    (values, vectors)
}

/// Turns the plane of `p` and `q` so that `a[p, q]` becomes 0; `false` if it is too small to matter.
fn rotate(a: &mut Array2<f64>, v: &mut Array2<f64>, p: usize, q: usize) -> bool {
    let off = a[[p, q]];
    if off.abs() <= f64::EPSILON * (a[[p, p]].abs() * a[[q, q]].abs()).sqrt()
        || off.abs() < f64::MIN_POSITIVE
    {
        return false;
    }
    let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * off);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for k in 0..a.nrows() {
        let (x, y) = (a[[k, p]], a[[k, q]]);
        (a[[k, p]], a[[k, q]]) = (c * x - s * y, s * x + c * y);
    }
    for k in 0..a.nrows() {
        let (x, y) = (a[[p, k]], a[[q, k]]);
        (a[[p, k]], a[[q, k]]) = (c * x - s * y, s * x + c * y);
        let (x, y) = (v[[k, p]], v[[k, q]]);
        (v[[k, p]], v[[k, q]]) = (c * x - s * y, s * x + c * y);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[track_caller]
    fn check(a: &Array2<f64>) {
        let (values, vectors) = symmetric_eigen(a.clone());
        let back = vectors.dot(&Array2::from_diag(&values)).dot(&vectors.t());
        let scale = a.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
        assert!(
            (&back - a).iter().all(|x| x.abs() < 1e-12 * scale),
            "{back}"
        );
        let unit = vectors.t().dot(&vectors);
        assert!(
            (unit - Array2::<f64>::eye(a.nrows()))
                .iter()
                .all(|x| x.abs() < 1e-12)
        );
        assert!(
            values.windows(2).into_iter().all(|pair| pair[0] >= pair[1]),
            "{values}"
        );
    }

    #[test]
    fn a_matrix_is_put_together_again_from_its_parts() {
        check(&array![[2.0, 0.0], [0.0, 2.0]]);
        check(&array![[0.0, 0.0], [0.0, 0.0]]);
        check(&array![[1.0, 2.0], [2.0, -3.0]]);
        check(&array![[4.0, 1.0, 1e-9], [1.0, 3.0, 2e6], [1e-9, 2e6, 1.0]]);
        let n = 60;
        let mixed = Array2::from_shape_fn((n, n), |(i, j)| {
            ((i * 31 + j * 17) % 101) as f64 / 101.0 - 0.5
        });
        check(&mixed.t().dot(&mixed));
    }

    #[test]
    fn the_sign_is_fixed() {
        let (values, vectors) = symmetric_eigen(array![[2.0, -1.0], [-1.0, 2.0]]);
        assert!((values[0] - 3.0).abs() < 1e-12 && (values[1] - 1.0).abs() < 1e-12);
        let half = 0.5_f64.sqrt();
        assert!(
            (vectors[[0, 0]] - half).abs() < 1e-12 && (vectors[[1, 0]] + half).abs() < 1e-12,
            "{vectors}"
        );
    }
}
