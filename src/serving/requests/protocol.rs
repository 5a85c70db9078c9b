//! The protocol of a request.

/// The protocol of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// No protocol: a call within the process.
    #[default]
    InProcess,
    /// The Open Inference Protocol over HTTP.
    Http,
    /// TensorFlow Serving's REST.
    Rest,
    /// The Open Inference Protocol over gRPC.
    Grpc,
}

impl Protocol {
    pub(crate) const ALL: [Protocol; 4] = [
        Protocol::InProcess,
        Protocol::Http,
        Protocol::Rest,
        Protocol::Grpc,
    ];

    /// The name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Protocol::InProcess => "in_process",
            Protocol::Http => "http",
            Protocol::Rest => "rest",
            Protocol::Grpc => "grpc",
        }
    }
}
