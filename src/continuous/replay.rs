//! A history on a virtual clock.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ContinuousPipeline;
use super::step::Step;
use crate::clock::{Clock, VirtualClock};
use crate::data::SpanSource;
use crate::error::{Error, Result};
use crate::evaluation::Validator;
use crate::serving::Server;
use crate::training::Trainer;

impl<S, T, V, R> ContinuousPipeline<S, T, V, R>
where
    S: SpanSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    /// Replays the arrival of spans, each at its time, on a virtual clock, and returns the steps that the loop would have taken: a
    /// year passes in the time that training takes. Waits of the schedule, of back-off and of canaries pass on the clock. Spans
    /// that exist and have not arrived yet are not seen. A [`RequestLog`](crate::serving::observe::RequestLog::clock) may be on the clock
    /// too.
    ///
    /// The replay resumes from the state: spans that were checked before are not checked again.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the clock is not [the pipeline's](super::ContinuousBuilder::clock), or a
    /// span arrives before the one in front of it; and as [`ContinuousPipeline::look`].
    pub async fn replay(
        &self,
        spans: impl IntoIterator<Item = (i64, SystemTime)>,
        clock: &VirtualClock,
    ) -> Result<Vec<Step>> {
        let spans: Vec<(i64, SystemTime)> = spans.into_iter().collect();
        if let Some(pair) = spans.windows(2).find(|pair| pair[1].1 < pair[0].1) {
            return Err(Error::config(format!(
                "span {} arrives before span {}, spans must be in the order of their times",
                pair[1].0, pair[0].0
            )));
        }
        let mut arrived: BTreeSet<i64> = BTreeSet::new();
        let mut steps = Vec::new();
        for (span, at) in spans {
            self.pass_to(at, clock, &mut steps).await?;
            arrived.insert(span);
            steps.extend(self.look_at(Some(&arrived)).await?);
        }
        Ok(steps)
    }

    /// Advances the clock to a time, and trains whenever the schedule is due.
    async fn pass_to(
        &self,
        time: SystemTime,
        clock: &VirtualClock,
        steps: &mut Vec<Step>,
    ) -> Result<()> {
        steps.extend(self.keep_schedule().await?);
        while let Some(due) = self.due_ms().await {
            let due = UNIX_EPOCH + Duration::from_millis(due);
            if due >= time || due <= clock.now() {
                break;
            }
            clock.advance_to(due);
            steps.extend(self.keep_schedule().await?);
        }
        clock.advance_to(time);
        if self.setup.clock.now() != clock.now() {
            return Err(Error::config(
                "the replay is on another clock than the pipeline: call `.clock(clock.clone())` on its builder",
            )
            .in_stage("continuous"));
        }
        steps.extend(self.keep_schedule().await?);
        Ok(())
    }
}
