//! HTML pages: text, numbers, tables, figures, and the style sheet for light and dark.
//!
//! Names come from files and clients: they are escaped, and their shown length is bounded.
#![cfg_attr(
    not(all(feature = "datafusion", feature = "http")),
    allow(dead_code, reason = "reports and the dashboard use what they need")
)]

pub(crate) mod svg;

use std::fmt::{self, Display, Write};

use crate::metrics::MetricValue;

/// The most characters that are shown of a name: of a column, a value, a class.
const NAME: usize = 80;
/// The most characters of a label or a caption.
const LABEL: usize = 200;
/// The most characters of a string that are shown.
const TEXT: usize = 4_000;

/// Escapes a string for elements and attributes, and abbreviates it to `most` characters.
fn escape(f: &mut fmt::Formatter<'_>, text: &str, most: usize) -> fmt::Result {
    for (at, c) in text.chars().enumerate() {
        if at == most {
            return f.write_char('…');
        }
        match c {
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '&' => f.write_str("&amp;")?,
            '"' => f.write_str("&quot;")?,
            '\'' => f.write_str("&#39;")?,
            '\n' | '\t' => f.write_char(c)?,
            // No characters of HTML, and those that turn the text around them.
            c if c.is_control() => f.write_char('\u{fffd}')?,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fdd0}'..='\u{fdef}' => {
                f.write_char('\u{fffd}')?;
            }
            c => f.write_char(c)?,
        }
    }
    Ok(())
}

/// A string of any characters.
pub(crate) struct Text<T>(pub(crate) T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(f, &self.0.to_string(), TEXT)
    }
}

/// A name of any characters, abbreviated if it is long.
pub(crate) struct Name<T>(pub(crate) T);

impl<T: Display> Display for Name<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<bdi>")?;
        escape(f, &self.0.to_string(), NAME)?;
        f.write_str("</bdi>")
    }
}

/// A label or a caption in an attribute or a picture, where elements are not allowed.
pub(crate) struct Plain<T>(pub(crate) T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(f, &self.0.to_string(), LABEL)
    }
}

/// A number with four decimal places, or four significant digits if it is small or large.
pub(crate) struct Number(pub(crate) f64);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.0;
        if !x.is_finite() {
            f.write_str("–")
        } else if x.fract() == 0.0 && x.abs() < 1e15 {
            write!(f, "{x:.0}")
        } else if (1e-3..1e6).contains(&x.abs()) {
            write!(f, "{x:.4}")
        } else {
            write!(f, "{x:.3e}")
        }
    }
}

/// A value with its interval.
pub(crate) struct Value<'a>(pub(crate) &'a MetricValue);

impl Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Number(self.0.value))?;
        match (self.0.lower, self.0.upper) {
            (Some(low), Some(high)) => write!(
                f,
                " <span class=\"muted\">{} to {}</span>",
                Number(low),
                Number(high)
            ),
            _ => Ok(()),
        }
    }
}

/// A number of bytes with a unit.
pub(crate) struct Bytes(pub(crate) u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            ..10_000 => write!(f, "{bytes} bytes"),
            10_000..10_000_000 => write!(f, "{:.0} kB", bytes / 1e3),
            10_000_000..10_000_000_000 => write!(f, "{:.0} MB", bytes / 1e6),
            _ => write!(f, "{:.0} GB", bytes / 1e9),
        }
    }
}

/// A duration in seconds with a unit.
pub(crate) struct Seconds(pub(crate) f64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s < 1e-3 => write!(f, "{:.0} µs", s * 1e6),
            s if s < 1.0 => write!(f, "{:.1} ms", s * 1e3),
            s if s < 120.0 => write!(f, "{s:.2} s"),
            s => write!(f, "{:.1} min", s / 60.0),
        }
    }
}

/// A cell of a table, already escaped.
pub(crate) enum Cell {
    Text(String),
    Number(String),
}

impl Cell {
    /// A cell of HTML.
    pub(crate) fn html(html: impl Display) -> Self {
        Cell::Text(html.to_string())
    }

    pub(crate) fn text(text: impl Display) -> Self {
        Cell::Text(Text(text).to_string())
    }

    pub(crate) fn name(name: impl Display) -> Self {
        Cell::Text(Name(name).to_string())
    }

    pub(crate) fn number(number: f64) -> Self {
        Cell::Number(Number(number).to_string())
    }

    pub(crate) fn count(count: u64) -> Self {
        Cell::Number(count.to_string())
    }

    /// A value with its interval.
    pub(crate) fn value(value: Option<&MetricValue>) -> Self {
        Cell::Number(value.map_or_else(|| "–".to_owned(), |value| Value(value).to_string()))
    }
}

/// A table with a caption and a limited number of rows.
pub(crate) struct Table {
    caption: String,
    head: String,
    body: String,
    rows: usize,
    most: usize,
}

impl Table {
    pub(crate) fn new(caption: impl Display) -> Self {
        Table {
            caption: caption.to_string(),
            head: String::new(),
            body: String::new(),
            rows: 0,
            most: 300,
        }
    }

    /// Sets the number of rows that are shown; the others are counted.
    pub(crate) fn most(mut self, rows: usize) -> Self {
        self.most = rows;
        self
    }

    /// Adds a column of strings.
    pub(crate) fn text(mut self, head: &str) -> Self {
        // Writing to a string does not fail.
        let _ = write!(self.head, "<th scope=\"col\">{}</th>", Text(head));
        self
    }

    /// Adds a column of numbers.
    pub(crate) fn number(mut self, head: &str) -> Self {
        let _ = write!(
            self.head,
            "<th scope=\"col\" class=\"n\">{}</th>",
            Text(head)
        );
        self
    }

    /// Adds a row, whose first cell is its header.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows += 1;
        if self.rows > self.most {
            return;
        }
        self.body.push_str("<tr>");
        for (at, cell) in cells.into_iter().enumerate() {
            let _ = match cell {
                Cell::Text(html) if at == 0 => write!(self.body, "<th scope=\"row\">{html}</th>"),
                Cell::Text(html) => write!(self.body, "<td>{html}</td>"),
                Cell::Number(html) => write!(self.body, "<td class=\"n\">{html}</td>"),
            };
        }
        self.body.push_str("</tr>\n");
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds the table to a page, folded behind a summary.
    pub(crate) fn folded(&self, page: &mut String, summary: &str) {
        if !self.is_empty() {
            let _ = write!(
                page,
                "<details><summary>{}</summary>{self}</details>",
                Text(summary)
            );
        }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        // Wide tables scroll within the page, with the keyboard too.
        write!(
            f,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table><caption>{}</caption>",
            Plain(&self.caption),
            Plain(&self.caption)
        )?;
        if !self.head.is_empty() {
            write!(f, "<thead><tr>{}</tr></thead>", self.head)?;
        }
        write!(f, "<tbody>\n{}</tbody></table>", self.body)?;
        if self.rows > self.most {
            write!(
                f,
                "<p class=\"muted\">and {} more</p>",
                self.rows - self.most
            )?;
        }
        f.write_str("</div>")
    }
}

/// A list of names and values.
#[derive(Default)]
pub(crate) struct Facts(String);

impl Facts {
    /// Adds a plain value, unless it is empty.
    pub(crate) fn add(&mut self, name: &str, fact: impl Display) -> &mut Self {
        let fact = Text(fact).to_string();
        self.html(name, fact)
    }

    /// Adds a value that is HTML, unless it is empty.
    pub(crate) fn html(&mut self, name: &str, fact: impl Display) -> &mut Self {
        let fact = fact.to_string();
        if !fact.is_empty() {
            let _ = write!(self.0, "<dt>{}</dt><dd>{fact}</dd>", Text(name));
        }
        self
    }
}

impl Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_empty() {
            true => Ok(()),
            false => write!(f, "<dl>{}</dl>", self.0),
        }
    }
}

/// A picture with its caption and the table of its data.
pub(crate) fn figure(page: &mut String, caption: &str, picture: impl Display, table: &Table) {
    let _ = write!(
        page,
        "<figure><figcaption>{}</figcaption>{picture}",
        Text(caption)
    );
    table.folded(page, "As a table");
    page.push_str("</figure>\n");
}

/// A section with a heading, left out if it is empty.
pub(crate) fn section(page: &mut String, title: &str, content: &str) {
    if !content.is_empty() {
        let _ = writeln!(page, "<section><h3>{}</h3>{content}</section>", Text(title));
    }
}

/// The start of a page.
pub(crate) fn head(title: impl Display, more: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">{more}<link rel=\"icon\" href=\"data:,\">\
         <title>{}</title><style>\n{}</style></head><body><main>\n",
        Plain(title),
        include_str!("page.css")
    )
}

/// The end of a page.
pub(crate) const FOOT: &str = "</main></body></html>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_nothing_but_text() {
        let name = "<script>alert('1')</script> & \"x\"\u{0}\u{202e}";
        assert_eq!(
            Plain(name).to_string(),
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;\u{fffd}\u{fffd}"
        );
        assert_eq!(
            Name("é".repeat(90)).to_string().chars().count(),
            80 + 1 + 11
        );
        let mut table = Table::new("c").text("a").most(1);
        table.row([Cell::name("<")]);
        table.row([Cell::name(">")]);
        let text = table.to_string();
        assert!(text.contains("&lt;") && !text.contains("&gt;") && text.contains("and 1 more"));
    }
}
