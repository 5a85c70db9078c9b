//! How the model came to be: what it looks at, and its curve.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::{Number, Text};
use crate::training::{CurvePoint, ExplainedRow, Importance, TrainingRecord};

/// So many features are shown, those that matter most by the first measure.
const SHOWN: usize = 30;

pub(super) fn write(page: &mut String, training: &TrainingRecord) -> fmt::Result {
    write_importances(page, &training.importances)?;
    if let Some(row) = &training.explained {
        write_row(page, row)?;
    }
    write_curve(page, training)
}

/// A table a kind of name: trainers tell of features, permutations and contributions of raw columns.
fn write_importances(page: &mut String, importances: &[Importance]) -> fmt::Result {
    let mut measures: Vec<(&str, Vec<&Importance>)> = Vec::new();
    for importance in importances {
        match measures
            .iter_mut()
            .find(|(name, _)| *name == importance.measure)
        {
            Some((_, values)) => values.push(importance),
            None => measures.push((&importance.measure, vec![importance])),
        }
    }
    let names = |values: &[&Importance]| -> Vec<String> {
        values
            .iter()
            .map(|importance| importance.feature.clone())
            .collect()
    };
    let mut rest = measures.as_slice();
    while let Some((_, first)) = rest.first() {
        let of = names(first);
        let n = rest
            .iter()
            .take_while(|(_, values)| names(values) == of)
            .count();
        write_table(page, &rest[..n])?;
        rest = &rest[n..];
    }
    Ok(())
}

/// Measures of the same names side by side, with bars of the first.
fn write_table(page: &mut String, measures: &[(&str, Vec<&Importance>)]) -> fmt::Result {
    let Some((_, first)) = measures.first() else {
        return Ok(());
    };
    let mut order: Vec<usize> = (0..first.len()).collect();
    order.sort_by(|a, b| first[*b].value.total_cmp(&first[*a].value));
    let most = order
        .first()
        .map_or(0.0, |at| first[*at].value)
        .max(f64::MIN_POSITIVE);
    page.push_str("<section><h2>What the model looks at</h2><table><tr><th>name</th>");
    for (measure, _) in measures {
        write!(page, "<th class=\"n\">{}</th>", Text(measure))?;
    }
    page.push_str("<th></th></tr>");
    for at in order.iter().take(SHOWN) {
        write!(page, "<tr><td>{}</td>", Text(&first[*at].feature))?;
        for (_, values) in measures {
            write!(page, "<td class=\"n\">{}</td>", Number(values[*at].value))?;
        }
        let width = (100.0 * first[*at].value / most).clamp(0.0, 100.0);
        write!(
            page,
            "<td style=\"width:40%\"><div class=\"bar\" style=\"width:{width:.0}%\"></div></td></tr>"
        )?;
    }
    page.push_str("</table>");
    if order.len() > SHOWN {
        write!(
            page,
            "<p class=\"muted\">and {} more</p>",
            order.len() - SHOWN
        )?;
    }
    page.push_str("</section>");
    Ok(())
}

fn write_row(page: &mut String, row: &ExplainedRow) -> fmt::Result {
    page.push_str(
        "<section><h2>How one row is predicted</h2><p class=\"muted\">what each column adds to the output before the \
         link, on the first row that was held out</p><table><tr><th>column</th>",
    );
    for output in 0..row.outputs.len() {
        write!(page, "<th class=\"n\">output {output}</th>")?;
    }
    page.push_str("</tr>");
    for (at, name) in row.names.iter().enumerate() {
        write!(page, "<tr><td>{}</td>", Text(name))?;
        for output in &row.outputs {
            let value = output.get(at).copied().unwrap_or(f64::NAN);
            write!(page, "<td class=\"n\">{}</td>", Number(value))?;
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></section>");
    Ok(())
}

fn write_curve(page: &mut String, training: &TrainingRecord) -> fmt::Result {
    let mut curves: BTreeMap<&str, Vec<&CurvePoint>> = BTreeMap::new();
    for point in &training.curve {
        curves.entry(&point.name).or_default().push(point);
    }
    if curves.is_empty() {
        return Ok(());
    }
    page.push_str("<section><h2>Training</h2><table>");
    for (name, points) in curves {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            continue;
        };
        write!(page, "<tr><td>{}</td><td>", Text(name))?;
        write_line(page, &points)?;
        write!(
            page,
            "</td><td>{} at iteration {}, {} at {}</td></tr>",
            Number(first.value),
            first.iteration,
            Number(last.value),
            last.iteration
        )?;
    }
    page.push_str("</table>");
    if let Some(best) = training.best_iteration {
        write!(
            page,
            "<p class=\"muted\">the model is that of iteration {best}</p>"
        )?;
    }
    page.push_str("</section>");
    Ok(())
}

/// The values from left to right, 240 by 40 pixels.
fn write_line(page: &mut String, points: &[&CurvePoint]) -> fmt::Result {
    const POINTS: usize = 240;
    let values = points.iter().map(|point| point.value);
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if points.len() < 2 || high <= low {
        return Ok(());
    }
    page.push_str(
        "<svg width=\"240\" height=\"40\" fill=\"none\" stroke=\"currentColor\" role=\"img\"><polyline points=\"",
    );
    let step = points.len().div_ceil(POINTS);
    for (at, point) in points.iter().enumerate().step_by(step) {
        let x = 240.0 * at as f64 / (points.len() - 1) as f64;
        let y = 38.0 - 36.0 * (point.value - low) / (high - low);
        write!(page, "{x:.1},{y:.1} ")?;
    }
    page.push_str("\"/></svg>");
    Ok(())
}
