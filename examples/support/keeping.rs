//! Command line options: the root of runs.

use std::path::PathBuf;

use fourfold::pipeline::PipelineBuilder;
use fourfold::runs::ModelCard;

/// The root of runs, and whether to reuse what it has.
#[derive(Debug, clap::Args)]
pub(crate) struct Keeping {
    /// Keep the results of runs in this directory, and run again only what has changed.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Print what would run and why, and stop.
    #[arg(long, requires = "root")]
    pub(crate) explain: bool,
    /// Run everything, whatever is recorded.
    #[arg(long, requires = "root")]
    pub(crate) no_cache: bool,
}

impl Keeping {
    /// A pipeline with these options.
    pub(crate) fn apply<D, T, V, R>(
        &self,
        builder: PipelineBuilder<D, T, V, R>,
    ) -> PipelineBuilder<D, T, V, R> {
        let command: Vec<String> = std::env::args().collect();
        let builder = builder.card(ModelCard::new().command(command.join(" ")));
        match &self.root {
            Some(root) => builder.root(root).cache(!self.no_cache),
            None => builder,
        }
    }
}
