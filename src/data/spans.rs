//! The choice of the spans of data to read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use arrow::compute::kernels::cast_utils::Parser;
use arrow::datatypes::Date32Type;
use serde::{Deserialize, Serialize};

use super::location::Found;
use super::pattern::{Pattern, Token};
use crate::error::{Error, Result};

/// The spans of a source to read, and the version of each: of a path with `{SPAN}`, or with `{YYYY}`, `{MM}`
/// and `{DD}`. The table in [the module](crate::data) has the tokens.
///
/// ```
/// use fourfold::data::{FileSource, Spans};
///
/// // The last seven days, without the newest, which may not be whole yet; at least five of them.
/// let week = Spans::last(7).skip_recent(1).at_least(5);
/// let source = FileSource::parquet("trips/{YYYY}-{MM}-{DD}/*.parquet").spans(week);
/// # let _ = source;
/// # assert_eq!(Spans::number_of_date("2017-01-01")?, 17_167);
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans {
    range: Range,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    skip_recent: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    exclude: BTreeSet<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_least: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Range {
    #[default]
    Latest,
    Between(i64, i64),
    Last(u64),
    Only(BTreeSet<i64>),
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A span that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The number of the span; of a date, the days since 1970-01-01.
    pub number: i64,
    /// The version of it, if the path has versions.
    pub version: Option<u64>,
    /// Its files, by path or URL.
    pub files: Vec<String>,
}

impl Spans {
    /// The newest span; the default.
    #[must_use]
    pub fn latest() -> Self {
        Spans::default()
    }

    /// One span by its number, such as a day that is to be read again.
    #[must_use]
    pub fn fixed(span: i64) -> Self {
        Spans::range(span..=span)
    }

    /// All spans of a range that are there.
    #[must_use]
    pub fn range(spans: RangeInclusive<i64>) -> Self {
        Spans {
            range: Range::Between(*spans.start(), *spans.end()),
            ..Spans::default()
        }
    }

    /// The newest span and those whose numbers are less than `n` below it: of days, the last `n` days, whether each
    /// of them is there or not.
    #[must_use]
    pub fn last(n: u64) -> Self {
        Spans {
            range: Range::Last(n),
            ..Spans::default()
        }
    }

    /// These spans, which must all be there.
    #[must_use]
    pub fn only(spans: impl IntoIterator<Item = i64>) -> Self {
        let spans: BTreeSet<i64> = spans.into_iter().collect();
        Spans {
            at_least: Some(spans.len() as u64),
            range: Range::Only(spans),
            ..Spans::default()
        }
    }

    /// Leaves out the newest `n` spans that are there, before anything is chosen.
    #[must_use]
    pub fn skip_recent(mut self, n: u64) -> Self {
        self.skip_recent = n;
        self
    }

    /// Leaves out spans by their numbers. They are left out of the range that is chosen; no others take their place.
    #[must_use]
    pub fn exclude(mut self, spans: impl IntoIterator<Item = i64>) -> Self {
        self.exclude.extend(spans);
        self
    }

    /// Makes it an error if fewer than `n` spans are found; 1 by default.
    #[must_use]
    pub fn at_least(mut self, n: u64) -> Self {
        self.at_least = Some(n);
        self
    }

    /// One version of every span instead of its newest.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// The number of the span of a day: the days since 1970-01-01.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is not a date like `2017-01-01`.
    pub fn number_of_date(date: &str) -> Result<i64> {
        match Date32Type::parse(date) {
            Some(days) if date.len() == 10 => Ok(i64::from(days)),
            _ => Err(Error::config(format!(
                "`{date}` is not a date, must be like `2017-01-01`"
            ))),
        }
    }

    pub(super) fn is_default(&self) -> bool {
        is_default(self)
    }

    pub(super) fn check(&self) -> Result<()> {
        match &self.range {
            Range::Between(start, end) if start > end => Err(Error::config(format!(
                "the spans begin with {start} and end with {end}, which is before it"
            ))),
            Range::Last(0) => Err(Error::config("the last 0 spans, must be at least 1")),
            _ if self.at_least == Some(0) => {
                Err(Error::config("at least 0 spans, must be at least 1"))
            }
            _ => Ok(()),
        }
    }

    /// The spans of these files that are wanted, oldest first, each with its files.
    pub(super) fn choose(
        &self,
        pattern: &Pattern,
        shown: &str,
        found: Vec<Found>,
    ) -> Result<Vec<(Span, Vec<Found>)>> {
        if self.version.is_some() && !pattern.has(Token::Version) {
            return Err(Error::config(format!(
                "a version is asked for, and `{shown}` has no `{{VERSION}}`"
            )));
        }
        let mut spans: BTreeMap<i64, BTreeMap<Option<u64>, Vec<Found>>> = BTreeMap::new();
        for file in found {
            let (span, version) = numbers(&file)?;
            let versions = spans.entry(span).or_default();
            let of_version = versions.get(&version).and_then(|files| files.first());
            let of_span = versions.values().flatten().next();
            let two_names = of_version
                .filter(|other| other.captures != file.captures)
                .or(of_span.filter(|other| !other.captures.same_span(&file.captures)));
            if let Some(other) = two_names {
                return Err(Error::data(format!(
                    "span {span} is there under two names: `{}` and `{}`",
                    other.name, file.name
                )));
            }
            versions.entry(version).or_default().push(file);
        }
        let numbers: Vec<i64> = spans.keys().copied().collect();
        let kept = numbers.len().saturating_sub(self.skip_recent as usize);
        let numbers = &numbers[..kept];
        let newest = numbers.last().copied();
        let wanted = |span: i64| match &self.range {
            Range::Latest => Some(span) == newest,
            Range::Between(start, end) => (start..=end).contains(&&span),
            Range::Last(n) => newest.is_some_and(|newest| span.abs_diff(newest) < *n),
            Range::Only(spans) => spans.contains(&span),
        };
        let mut chosen = Vec::new();
        for span in numbers
            .iter()
            .copied()
            .filter(|span| wanted(*span) && !self.exclude.contains(span))
        {
            let versions = spans.remove(&span).unwrap_or_default();
            let there: Vec<u64> = versions.keys().copied().flatten().collect();
            let group = versions
                .into_iter()
                .rfind(|(version, _)| self.version.is_none() || *version == self.version);
            let (version, found) = group.ok_or_else(|| {
                Error::not_found(format!(
                    "span {span} of `{shown}` has no version {}; there are {there:?}",
                    self.version.unwrap_or_default()
                ))
            })?;
            let files = found.iter().map(|file| file.shown.clone()).collect();
            let span = Span {
                number: span,
                version,
                files,
            };
            chosen.push((span, found));
        }
        let needed = self.at_least.unwrap_or(1);
        if (chosen.len() as u64) < needed {
            let there = match numbers {
                [] => "no span".to_owned(),
                [one] => format!("span {one}"),
                [first, .., last] => format!("{} spans from {first} to {last}", numbers.len()),
            };
            return Err(Error::not_found(format!(
                "{} of the spans that are asked for of `{shown}` are there, must be at least {needed}; there is {there}",
                chosen.len()
            )));
        }
        Ok(chosen)
    }
}

fn numbers(file: &Found) -> Result<(i64, Option<u64>)> {
    let too_large = |text: &str| {
        Error::data(format!(
            "`{text}` in `{}` is too large for the number of a span",
            file.name
        ))
    };
    let text = |token| file.captures.get(token);
    let version = text(Token::Version)
        .map(|version| version.parse().map_err(|_| too_large(version)))
        .transpose()?;
    if let Some(span) = text(Token::Span) {
        return Ok((span.parse().map_err(|_| too_large(span))?, version));
    }
    let part = |token| text(token).unwrap_or_default();
    let date = format!(
        "{}-{}-{}",
        part(Token::Year),
        part(Token::Month),
        part(Token::Day)
    );
    let days = Spans::number_of_date(&date)
        .map_err(|_| Error::data(format!("`{date}` in `{}` is not a date", file.name)))?;
    Ok((days, version))
}
