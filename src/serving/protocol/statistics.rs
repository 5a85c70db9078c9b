//! Statistics of versions: Triton's statistics extension.

use serde::Serialize;

/// Statistics of a version since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelStatistics {
    /// The model's name.
    pub name: String,
    /// The version.
    #[serde(serialize_with = "as_text")]
    pub version: u64,
    /// The time of the last request, in milliseconds since 1970; 0 without a request.
    pub last_inference: u64,
    /// The number of rows answered.
    pub inference_count: u64,
    /// The number of calls of the model: fewer than requests, where they are answered in batches.
    pub execution_count: u64,
    /// Counts and times of requests.
    pub inference_stats: InferenceStatistics,
    /// Counts and times of calls of the model, by their number of rows.
    pub batch_stats: Vec<BatchStatistics>,
}

/// Counts and times of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InferenceStatistics {
    /// Answered requests, from their arrival until their answer is ready.
    pub success: StatisticDuration,
    /// Requests that ended in an error.
    pub fail: StatisticDuration,
    /// Waiting for their turn.
    pub queue: StatisticDuration,
    /// Reading inputs.
    pub compute_input: StatisticDuration,
    /// Running transform and model.
    pub compute_infer: StatisticDuration,
    /// Writing outputs.
    pub compute_output: StatisticDuration,
    /// Answers out of a cache. There is none, so it stays 0.
    pub cache_hit: StatisticDuration,
    /// Answers that a cache did not have. There is none, so it stays 0.
    pub cache_miss: StatisticDuration,
}

/// Counts and times of calls of the model with one number of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BatchStatistics {
    /// The rows of a run.
    pub batch_size: u64,
    /// Reading inputs.
    pub compute_input: StatisticDuration,
    /// Running transform and model.
    pub compute_infer: StatisticDuration,
    /// Writing outputs.
    pub compute_output: StatisticDuration,
}

/// A count and a total time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StatisticDuration {
    /// The count.
    pub count: u64,
    /// The total time in nanoseconds.
    pub ns: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn as_text<S: serde::Serializer>(version: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(version)
}

/// The body of an answer to a question for statistics.
pub(crate) fn statistics(models: &[ModelStatistics]) -> serde_json::Value {
    serde_json::json!({ "model_stats": models })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn they_are_written_as_triton_does() {
        let spent = |count, ns| StatisticDuration { count, ns };
        let model = ModelStatistics {
            name: "late".to_owned(),
            version: 3,
            last_inference: 1_700_000_000_000,
            inference_count: 7,
            execution_count: 2,
            inference_stats: InferenceStatistics {
                success: spent(2, 900),
                fail: spent(1, 5),
                ..InferenceStatistics::default()
            },
            batch_stats: vec![BatchStatistics {
                batch_size: 4,
                compute_infer: spent(1, 300),
                ..BatchStatistics::default()
            }],
        };
        let written = statistics(&[model]);
        let none = json!({"count": 0, "ns": 0});
        assert_eq!(
            written,
            json!({"model_stats": [{
                "name": "late", "version": "3", "last_inference": 1_700_000_000_000_u64,
                "inference_count": 7, "execution_count": 2,
                "inference_stats": {
                    "success": {"count": 2, "ns": 900}, "fail": {"count": 1, "ns": 5}, "queue": none,
                    "compute_input": none, "compute_infer": none, "compute_output": none,
                    "cache_hit": none, "cache_miss": none,
                },
                "batch_stats": [{
                    "batch_size": 4, "compute_input": none, "compute_infer": {"count": 1, "ns": 300},
                    "compute_output": none,
                }],
            }]})
        );
    }
}
