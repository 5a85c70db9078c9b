//! Paths with wildcards, and with the tokens of spans and versions.

use crate::error::{Error, Result};

/// A pattern of paths: a glob that may contain the tokens of spans.
///
/// `*` and `?` stay within a folder, `**` does not; `[a-z]` and `[!a-z]` are sets of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Char(char),
    One,
    Run,
    Deep,
    Set {
        inverted: bool,
        ranges: Vec<(char, char)>,
    },
    Number(Token, Option<usize>),
}

/// A number in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Span,
    Version,
    Year,
    Month,
    Day,
}

impl Token {
    const ALL: [Token; 5] = [
        Token::Span,
        Token::Version,
        Token::Year,
        Token::Month,
        Token::Day,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Token::Span => "SPAN",
            Token::Version => "VERSION",
            Token::Year => "YYYY",
            Token::Month => "MM",
            Token::Day => "DD",
        }
    }

    /// The number of digits that dates have.
    fn width(self) -> Option<usize> {
        match self {
            Token::Span | Token::Version => None,
            Token::Year => Some(4),
            Token::Month | Token::Day => Some(2),
        }
    }
}

/// The text that each token has in a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Captures([Option<String>; 5]);

impl Captures {
    pub(super) fn get(&self, token: Token) -> Option<&str> {
        self.0[token as usize].as_deref()
    }

    /// Returns true if both have the same text for the span, or the date.
    pub(super) fn same_span(&self, other: &Captures) -> bool {
        let tokens = [Token::Span, Token::Year, Token::Month, Token::Day];
        tokens
            .into_iter()
            .all(|token| self.get(token) == other.get(token))
    }
}

/// Returns true if a part of a path is more than a name.
pub(super) fn is_wild(text: &str) -> bool {
    let mut behind_braces = text.split('{').skip(1);
    text.contains(['*', '?', '['])
        || behind_braces.any(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a token that is unknown, a duplicate, or that
    /// does not go with another.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |what: String| Error::config(format!("pattern `{text}`: {what}"));
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let mut after = &rest[first.len_utf8()..];
            let part = match first {
                '*' => match after.strip_prefix('*') {
                    Some(deeper) => {
                        after = deeper;
                        Part::Deep
                    }
                    None => Part::Run,
                },
                '?' => Part::One,
                '[' => {
                    let (set, behind) = after
                        .split_once(']')
                        .filter(|(set, _)| !set.trim_start_matches('!').is_empty())
                        .ok_or_else(|| {
                            wrong("`[` begins a set of characters, which must end with `]`".into())
                        })?;
                    after = behind;
                    set_of(set)
                }
                '{' if after.starts_with(|c: char| c.is_ascii_uppercase()) => {
                    let (inside, behind) = after.split_once('}').ok_or_else(|| {
                        wrong("`{` begins a token, which must end with `}`".into())
                    })?;
                    after = behind;
                    token_of(inside).map_err(wrong)?
                }
                other => Part::Char(other),
            };
            parts.push(part);
            rest = after;
        }
        let pattern = Pattern(parts);
        pattern.check_tokens().map_err(wrong)?;
        Ok(pattern)
    }

    fn check_tokens(&self) -> Result<(), String> {
        let there = |wanted: Token| {
            self.0
                .iter()
                .filter(|part| matches!(part, Part::Number(token, _) if *token == wanted))
                .count()
        };
        if let Some(token) = Token::ALL.into_iter().find(|token| there(*token) > 1) {
            return Err(format!("duplicate `{{{}}}`", token.name()));
        }
        let dates = [Token::Year, Token::Month, Token::Day];
        let n_dates: usize = dates.into_iter().map(there).sum();
        if n_dates > 0 && n_dates < 3 {
            return Err("a date needs `{YYYY}`, `{MM}` and `{DD}`".to_owned());
        }
        if n_dates > 0 && there(Token::Span) > 0 {
            return Err(
                "a date is a span: `{SPAN}` does not go with `{YYYY}`, `{MM}` and `{DD}`"
                    .to_owned(),
            );
        }
        if there(Token::Version) > 0 && n_dates == 0 && there(Token::Span) == 0 {
            return Err(
                "`{VERSION}` is the version of a span: `{SPAN}` or a date must be there too"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Returns true if it has tokens.
    pub(super) fn has_spans(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Number(..)))
    }

    pub(super) fn has(&self, wanted: Token) -> bool {
        self.0
            .iter()
            .any(|part| matches!(part, Part::Number(token, _) if *token == wanted))
    }

    /// The tokens' texts, if the path or a folder above it is of this pattern.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if it would be, were the text of a token a number.
    pub(super) fn find(&self, path: &str) -> Result<Option<Captures>> {
        let whole_and_above = || {
            std::iter::once(path).chain(path.match_indices('/').rev().map(|(at, _)| &path[..at]))
        };
        if let Some(found) = whole_and_above().find_map(|path| self.match_all(path, true)) {
            return Ok(Some(found));
        }
        if !self.has_spans() {
            return Ok(None);
        }
        match whole_and_above().find_map(|path| self.match_all(path, false)) {
            Some(loose) => {
                let odd = Token::ALL.into_iter().find_map(|token| {
                    let text = loose.get(token)?;
                    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
                    (!plain).then_some((token, text))
                });
                let (token, text) = odd.unwrap_or((Token::Span, ""));
                Err(Error::data(format!(
                    "`{{{}}}` is `{text}` in `{path}`, must be a whole number",
                    token.name()
                )))
            }
            None => Ok(None),
        }
    }

    fn match_all(&self, path: &str, digits: bool) -> Option<Captures> {
        let path: Vec<char> = path.chars().collect();
        let mut captures = Captures::default();
        match_parts(&self.0, &path, digits, &mut captures).then_some(captures)
    }
}

fn match_parts(parts: &[Part], path: &[char], digits: bool, captures: &mut Captures) -> bool {
    let Some((part, parts)) = parts.split_first() else {
        return path.is_empty();
    };
    let mut one_of = |wanted: &dyn Fn(char) -> bool| {
        path.split_first().is_some_and(|(first, path)| {
            wanted(*first) && match_parts(parts, path, digits, captures)
        })
    };
    match part {
        Part::Char(char) => one_of(&|c| c == *char),
        Part::One => one_of(&|c| c != '/'),
        Part::Set { inverted, ranges } => one_of(&|c| {
            c != '/' && *inverted != ranges.iter().any(|(from, to)| (*from..=*to).contains(&c))
        }),
        Part::Run | Part::Deep => {
            let longest = match part {
                Part::Deep => path.len(),
                _ => path.iter().position(|c| *c == '/').unwrap_or(path.len()),
            };
            // `**/` is also nothing at all.
            if *part == Part::Deep
                && let Some((Part::Char('/'), below)) = parts.split_first()
                && match_parts(below, path, digits, captures)
            {
                return true;
            }
            (0..=longest).any(|n| match_parts(parts, &path[n..], digits, captures))
        }
        Part::Number(token, width) => {
            let fits = |c: &char| {
                if digits {
                    c.is_ascii_digit()
                } else {
                    *c != '/'
                }
            };
            let longest = path.iter().position(|c| !fits(c)).unwrap_or(path.len());
            let lengths = match width {
                Some(width) if *width <= longest => *width..=*width,
                Some(_) => return false,
                None => 1..=longest,
            };
            lengths.rev().any(|n| {
                let matched = match_parts(parts, &path[n..], digits, captures);
                if matched {
                    captures.0[*token as usize] = Some(path[..n].iter().collect());
                }
                matched
            })
        }
    }
}

fn set_of(text: &str) -> Part {
    let (inverted, text) = match text.strip_prefix('!') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let chars: Vec<char> = text.chars().collect();
    let mut ranges = Vec::new();
    let mut rest = chars.as_slice();
    while let [from, behind @ ..] = rest {
        match behind {
            ['-', to, behind @ ..] => {
                ranges.push((*from, *to));
                rest = behind;
            }
            _ => {
                ranges.push((*from, *from));
                rest = behind;
            }
        }
    }
    Part::Set { inverted, ranges }
}

fn token_of(text: &str) -> Result<Part, String> {
    let (name, width) = match text.split_once(':') {
        Some((name, width)) => (name, Some(width)),
        None => (text, None),
    };
    let token = Token::ALL
        .into_iter()
        .find(|token| token.name() == name)
        .ok_or_else(|| {
            format!("`{{{text}}}` is not known, tokens are `{{SPAN}}`, `{{VERSION}}`, `{{YYYY}}`, `{{MM}}` and `{{DD}}`")
        })?;
    let Some(width) = width else {
        return Ok(Part::Number(token, token.width()));
    };
    if token.width().is_some() {
        return Err(format!(
            "`{{{name}}}` has a width of its own, `{width}` must not be there"
        ));
    }
    match width.parse::<usize>() {
        Ok(digits) if (1..=18).contains(&digits) => Ok(Part::Number(token, Some(digits))),
        _ => Err(format!(
            "the width of `{{{name}}}` is `{width}`, must be from 1 to 18"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, path: &str) -> bool {
        Pattern::parse(pattern)
            .unwrap()
            .find(path)
            .unwrap()
            .is_some()
    }

    #[test]
    fn globs_match_as_a_shell_does() {
        assert!(found("2013-*.parquet", "2013-01.parquet"));
        assert!(!found("2013-*.parquet", "a/2013-01.parquet"));
        assert!(found("**/2013-*.parquet", "a/b/2013-01.parquet"));
        assert!(found("**/2013-*.parquet", "2013-01.parquet"));
        assert!(found("*/x?.csv", "a/x1.csv") && !found("*/x?.csv", "a/x12.csv"));
        assert!(found("[a-c]*.csv", "bus.csv") && !found("[!a-c]*.csv", "bus.csv"));
        assert!(
            found("month=*", "month=01/part.parquet"),
            "folders hold their files"
        );
        assert!(!found("a?b", "a/b"));
    }

    #[test]
    fn tokens_are_numbers() {
        let pattern = Pattern::parse("span-{SPAN}/v{VERSION:2}/*").unwrap();
        let found = pattern.find("span-012/v03/a.csv").unwrap().unwrap();
        assert_eq!(found.get(Token::Span), Some("012"));
        assert_eq!(found.get(Token::Version), Some("03"));
        assert_eq!(pattern.find("span-1/v3/a.csv").unwrap(), None);
        assert_eq!(
            pattern.find("span-x/v03/a.csv").unwrap_err().to_string(),
            "`{SPAN}` is `x` in `span-x/v03/a.csv`, must be a whole number"
        );
    }

    #[test]
    fn tokens_that_do_not_go_together_are_refused() {
        for (pattern, reason) in [
            (
                "v{VERSION}",
                "`{VERSION}` is the version of a span: `{SPAN}` or a date must be there too",
            ),
            ("{SPAN}/{SPAN}", "duplicate `{SPAN}`"),
            (
                "{SPAN}/{YYYY}-{MM}-{DD}",
                "a date is a span: `{SPAN}` does not go with `{YYYY}`, `{MM}` and `{DD}`",
            ),
            ("{YYYY}-{MM}", "a date needs `{YYYY}`, `{MM}` and `{DD}`"),
            (
                "{SPAN:x}",
                "the width of `{SPAN}` is `x`, must be from 1 to 18",
            ),
            (
                "{SPAN:0}",
                "the width of `{SPAN}` is `0`, must be from 1 to 18",
            ),
            (
                "{SPAM}",
                "`{SPAM}` is not known, tokens are `{SPAN}`, `{VERSION}`, `{YYYY}`, `{MM}` and `{DD}`",
            ),
            (
                "a[",
                "`[` begins a set of characters, which must end with `]`",
            ),
        ] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert_eq!(error.to_string(), format!("pattern `{pattern}`: {reason}"));
        }
    }
}
