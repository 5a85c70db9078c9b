//! Metadata of the server and its models.

use super::proto::model_metadata_response::TensorMetadata;
use super::proto::repository_index_response::ModelIndex;
use super::proto::{
    DataType, InferBatchStatistics, InferStatistics, ModelConfig, ModelInput,
    ModelMetadataResponse, ModelOutput, ModelParameter, ModelStatistics, ModelStatisticsResponse,
    RepositoryIndexResponse, ServerMetadataResponse, StatisticDuration,
};
use crate::schema::FieldType;
use crate::serving::lifecycle::VersionChoice;
use crate::serving::protocol::{Datatype, Input, Output, Plan, repository_index};
use crate::serving::{self, Predictor, ServerCore};

/// A version as requests name it: a number, a label, or empty.
pub(super) fn version(name: &str) -> VersionChoice<'_> {
    if name.is_empty() {
        return VersionChoice::Default;
    }
    match name.parse() {
        Ok(number) => VersionChoice::Number(number),
        Err(_) => VersionChoice::Label(name),
    }
}

pub(super) fn server_metadata() -> ServerMetadataResponse {
    let extensions = [
        "classification",
        "model_configuration",
        "model_repository",
        "parameters",
        "statistics",
    ];
    ServerMetadataResponse {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: extensions.map(str::to_owned).to_vec(),
    }
}

/// The metadata of a version of a model, with the versions of it that answer.
pub(super) fn model_metadata(core: &ServerCore, predictor: &Predictor) -> ModelMetadataResponse {
    let plan = Plan::of(predictor.servable());
    let input = |input: &Input| TensorMetadata {
        name: input.name().to_owned(),
        datatype: input.datatype().name().to_owned(),
        shape: input.shape().to_vec(),
    };
    let output = |output: &Output| TensorMetadata {
        name: output.name().to_owned(),
        datatype: output.datatype().name().to_owned(),
        shape: output.shape().to_vec(),
    };
    ModelMetadataResponse {
        name: predictor.name().to_owned(),
        versions: available(core, predictor),
        platform: predictor.servable().manifest().model_format.clone(),
        inputs: plan.inputs().iter().map(input).collect(),
        outputs: plan.outputs().iter().map(output).collect(),
    }
}

/// The versions of a model that answer; at least the one that was found.
fn available(core: &ServerCore, predictor: &Predictor) -> Vec<String> {
    let states = core.manager().states();
    let versions = states
        .iter()
        .filter(|model| model.name == predictor.name())
        .flat_map(|model| &model.versions)
        .filter(|version| version.is_available())
        .map(|version| version.version);
    let mut versions: Vec<u64> = versions.collect();
    if !versions.contains(&predictor.version()) {
        versions.push(predictor.version());
    }
    versions.iter().map(u64::to_string).collect()
}

/// The configuration of a model beyond its metadata: which inputs are optional, the `task` and the `label`, and as
/// `format.{input}` which strings are a `date` or a `timestamp`.
pub(super) fn model_config(predictor: &Predictor) -> ModelConfig {
    let servable = predictor.servable();
    let plan = Plan::of(servable);
    let input = |input: &Input| ModelInput {
        name: input.name().to_owned(),
        data_type: data_type(input.datatype()).into(),
        dims: input.shape().to_vec(),
        optional: !input.is_required(),
    };
    let output = |output: &Output| ModelOutput {
        name: output.name().to_owned(),
        data_type: data_type(output.datatype()).into(),
        dims: output.shape().to_vec(),
    };
    let target = servable.target();
    let times = plan
        .inputs()
        .iter()
        .filter(|input| matches!(input.field_type(), FieldType::Date | FieldType::Timestamp));
    let formats = times.map(|input| {
        let format = input.field_type().to_string();
        (format!("format.{}", input.name()), format)
    });
    let parameters = [
        ("task".to_owned(), target.task().to_string()),
        ("label".to_owned(), target.label().to_owned()),
    ];
    ModelConfig {
        name: predictor.name().to_owned(),
        platform: servable.manifest().model_format.clone(),
        backend: env!("CARGO_PKG_NAME").to_owned(),
        max_batch_size: 0,
        input: plan.inputs().iter().map(input).collect(),
        output: plan.outputs().iter().map(output).collect(),
        parameters: parameters
            .into_iter()
            .chain(formats)
            .map(|(name, string_value)| (name, ModelParameter { string_value }))
            .collect(),
    }
}

fn data_type(datatype: Datatype) -> DataType {
    match datatype {
        Datatype::Bool => DataType::TypeBool,
        Datatype::Int8 => DataType::TypeInt8,
        Datatype::Int16 => DataType::TypeInt16,
        Datatype::Int32 => DataType::TypeInt32,
        Datatype::Int64 => DataType::TypeInt64,
        Datatype::Uint8 => DataType::TypeUint8,
        Datatype::Uint16 => DataType::TypeUint16,
        Datatype::Uint32 => DataType::TypeUint32,
        Datatype::Uint64 => DataType::TypeUint64,
        Datatype::Fp16 => DataType::TypeFp16,
        Datatype::Bf16 => DataType::TypeBf16,
        Datatype::Fp32 => DataType::TypeFp32,
        Datatype::Fp64 => DataType::TypeFp64,
        Datatype::Bytes => DataType::TypeString,
    }
}

/// Every version of every model, or only those that answer.
pub(super) fn index(core: &ServerCore, ready: bool) -> RepositoryIndexResponse {
    let versions = repository_index(core.manager(), ready).into_iter();
    let models = versions.map(|listed| ModelIndex {
        name: listed.name,
        version: listed.version,
        state: listed.state.to_owned(),
        reason: listed.reason,
    });
    RepositoryIndexResponse {
        models: models.collect(),
    }
}

/// Statistics of versions.
pub(super) fn statistics(models: &[serving::protocol::ModelStatistics]) -> ModelStatisticsResponse {
    let spent = |spent: serving::protocol::StatisticDuration| {
        Some(StatisticDuration {
            count: spent.count,
            ns: spent.ns,
        })
    };
    let batch = |batch: &serving::protocol::BatchStatistics| InferBatchStatistics {
        batch_size: batch.batch_size,
        compute_input: spent(batch.compute_input),
        compute_infer: spent(batch.compute_infer),
        compute_output: spent(batch.compute_output),
    };
    let model = |model: &serving::protocol::ModelStatistics| {
        let all = &model.inference_stats;
        ModelStatistics {
            name: model.name.clone(),
            version: model.version.to_string(),
            last_inference: model.last_inference,
            inference_count: model.inference_count,
            execution_count: model.execution_count,
            inference_stats: Some(InferStatistics {
                success: spent(all.success),
                fail: spent(all.fail),
                queue: spent(all.queue),
                compute_input: spent(all.compute_input),
                compute_infer: spent(all.compute_infer),
                compute_output: spent(all.compute_output),
                cache_hit: spent(all.cache_hit),
                cache_miss: spent(all.cache_miss),
            }),
            batch_stats: model.batch_stats.iter().map(batch).collect(),
        }
    };
    ModelStatisticsResponse {
        model_stats: models.iter().map(model).collect(),
    }
}
