//! Numbers in single precision.

use arrow_buffer::NullBuffer;

/// Writes numbers in single precision; those that are NULL, or not finite in it, as NaN. Whether there was none of these.
pub fn narrow(values: &[f64], nulls: Option<&NullBuffer>, cells: &mut [f32]) -> bool {
    let mut all_finite = true;
    for (cell, value) in cells.iter_mut().zip(values) {
        let narrow = *value as f32;
        all_finite &= narrow.is_finite();
        *cell = if narrow.is_finite() { narrow } else { f32::NAN };
    }
    let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
        return all_finite;
    };
    for (row, cell) in cells.iter_mut().enumerate() {
        if nulls.is_null(row) {
            *cell = f32::NAN;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_nan() {
        let mut cells = [0.0; 4];
        assert!(narrow(&[1.0, 2.5, -0.1, 0.0], None, &mut cells));
        assert_eq!(cells, [1.0, 2.5, -0.1, 0.0]);
        assert!(!narrow(&[1.0, f64::MAX, f64::NAN, 3.0], None, &mut cells));
        assert!(cells[1].is_nan() && cells[2].is_nan());
        let nulls = NullBuffer::from(vec![true, true, false, true]);
        assert!(!narrow(&[1.0, 2.0, 3.0, 4.0], Some(&nulls), &mut cells));
        assert!(cells[2].is_nan());
        assert_eq!([cells[0], cells[1], cells[3]], [1.0, 2.0, 4.0]);
    }
}
