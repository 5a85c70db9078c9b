//! The requested version.

/// The version of a model that a request names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VersionChoice<'a> {
    /// The server's choice, by traffic split and policy.
    #[default]
    Default,
    /// A version by its number.
    Number(u64),
    /// The version that has a label, such as `stable`.
    Label(&'a str),
}

impl From<Option<u64>> for VersionChoice<'_> {
    fn from(version: Option<u64>) -> Self {
        version.map_or(VersionChoice::Default, VersionChoice::Number)
    }
}

impl From<u64> for VersionChoice<'_> {
    fn from(version: u64) -> Self {
        VersionChoice::Number(version)
    }
}
