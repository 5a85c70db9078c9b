//! The threads that load and unload: one for each, so that none waits for another that hangs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::registry::{Job, Task};
use super::shared::Shared;
use crate::error::{Error, Result, chain, panic_text};
use crate::model::Servable;

/// Starts a thread for a task.
pub(super) fn start(shared: &Arc<Shared>, task: Task) {
    let on_thread = Arc::clone(shared);
    match task {
        Task::Load(job) => {
            let failed = job.clone();
            let thread = thread::Builder::new().name("fourfold-load".to_owned());
            if let Err(error) = thread.spawn(move || {
                lower_priority(&on_thread);
                load(&on_thread, &job);
            }) {
                let reason = format!("starting a thread to load it: {error}");
                let now = Instant::now();
                shared.done(|registry| {
                    registry.failed(&failed, reason, false, now, now.elapsed());
                });
            }
        }
        Task::Drop {
            model,
            version,
            servable,
        } => {
            let dropped = Arc::clone(&model);
            let thread = thread::Builder::new().name("fourfold-unload".to_owned());
            let spawned = thread.spawn(move || {
                lower_priority(&on_thread);
                if catch_unwind(AssertUnwindSafe(|| drop(servable))).is_err() {
                    tracing::error!(
                        model = &*model,
                        version,
                        "a model panicked when it was dropped"
                    );
                }
                on_thread.done(|registry| registry.dropped(&model, version));
            });
            // Without a thread it was dropped here.
            if spawned.is_err() {
                shared.done(|registry| registry.dropped(&dropped, version));
            }
        }
    }
}

/// Lowers the thread's priority in favour of the threads that answer, where the system allows it.
#[cfg(target_os = "linux")]
fn lower_priority(shared: &Shared) {
    use rustix::process::{getpriority_process, setpriority_process};
    let niceness = shared.read(|registry| i32::from(registry.settings.load_niceness));
    // On Linux a priority is a thread's own.
    let thread = Some(rustix::thread::gettid());
    if getpriority_process(thread).is_ok_and(|own| own < niceness)
        && let Err(error) = setpriority_process(thread, niceness)
    {
        tracing::debug!(%error, "the priority of a loading thread cannot be lowered");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority(_: &Shared) {}

/// The result of an attempt.
enum Outcome {
    Loaded(Box<Servable>),
    /// There is no memory for it just now; it waits already.
    NoRoom,
    Failed {
        reason: String,
        is_final: bool,
    },
}

fn load(shared: &Arc<Shared>, job: &Job) {
    let started = Instant::now();
    let tried = catch_unwind(AssertUnwindSafe(|| try_to_load(shared, job)));
    let outcome = tried.unwrap_or_else(|panic| Outcome::Failed {
        reason: format!("the model's loader panicked{}", panic_text(&*panic)),
        is_final: false,
    });
    let took = started.elapsed();
    match outcome {
        Outcome::Loaded(servable) => {
            let mut unwanted = None;
            shared.done(|registry| {
                unwanted = registry.loaded(job, *servable, shared.clock(), took);
            });
            // Here and not on a thread that answers or decides.
            if catch_unwind(AssertUnwindSafe(|| drop(unwanted))).is_err() {
                tracing::error!(model = &*job.model, "a model panicked when it was dropped");
            }
        }
        Outcome::NoRoom => shared.done(|_| ()),
        Outcome::Failed { reason, is_final } => shared.done(|registry| {
            registry.failed(job, reason, is_final, Instant::now(), took);
        }),
    }
}

fn try_to_load(shared: &Arc<Shared>, job: &Job) -> Outcome {
    let failed = |error: Error| Outcome::Failed {
        reason: chain(&error),
        is_final: false,
    };
    let loader = match shared
        .source
        .fetch(&job.model, &job.found)
        .and_then(|()| shared.adapter.adapt(&job.model, &job.found))
    {
        Ok(loader) => loader,
        Err(error) => return failed(error),
    };
    let needed = loader.estimate();
    match shared.with(|registry| registry.reserve(job, needed)) {
        Ok(true) => {}
        Ok(false) => return Outcome::NoRoom,
        Err(reason) => {
            return Outcome::Failed {
                reason,
                is_final: true,
            };
        }
    }
    let loaded = loader
        .load()
        .and_then(|servable| named(&job.model, servable));
    match loaded.and_then(|servable| {
        shared.warm_up.run(&job.model, &job.found, &servable)?;
        Ok(servable)
    }) {
        Ok(servable) => Outcome::Loaded(Box::new(servable)),
        Err(error) => failed(error),
    }
}

fn named(model: &str, servable: Servable) -> Result<Servable> {
    let name = &servable.manifest().name;
    if name != model {
        return Err(Error::corrupt(format!(
            "the directory of model `{model}` holds model `{name}`"
        )));
    }
    Ok(servable)
}
