//! Where runs are kept, as options of a command line.

use std::path::PathBuf;

use fourfold::pipeline::PipelineBuilder;
use fourfold::runs::ModelCard;

/// Where runs are kept, and whether they are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Keeping {
    /// Keep what runs make here, and run again only what has changed.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Say what would run and why, and stop.
    #[arg(long, requires = "root")]
    pub(crate) explain: bool,
    /// Run everything, whatever is on record.
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
