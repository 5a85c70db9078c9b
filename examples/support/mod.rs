//! A progress bar on a terminal, nothing elsewhere.

use fourfold::progress::{Event, Step};
use indicatif::{ProgressBar, ProgressStyle};

/// A listener for `PipelineBuilder::observe` that shows the steps of a run on standard error.
pub(crate) fn progress_bar() -> impl Fn(&Event) + Send + Sync {
    let bar = ProgressBar::new(Step::ALL.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} {elapsed}") {
        bar.set_style(style);
    }
    move |event| match event {
        Event::Started(step) => {
            bar.set_message(step.name());
            bar.tick();
        }
        Event::Advanced {
            step: Step::Train,
            done,
            total: Some(total),
        } => bar.set_message(format!("train: {done} of {total}")),
        Event::Advanced { step, done, .. } => bar.set_message(format!("{step}: {done} rows")),
        // Without a terminal, such as in a log, there is no bar to print above.
        Event::Message { text, .. } if bar.is_hidden() => eprintln!("{text}"),
        Event::Message { text, .. } => bar.println(text),
        Event::Finished(step, _) => {
            bar.inc(1);
            if *step == Step::Deploy {
                bar.finish_and_clear();
            }
        }
        _ => {}
    }
}
