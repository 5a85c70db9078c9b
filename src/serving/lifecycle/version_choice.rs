//! Which version of a model a request is for.

/// Which version of a model is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VersionChoice<'a> {
    /// The server's choice: what labels, traffic split and policy say.
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
