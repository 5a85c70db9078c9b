//! draft
pub struct HttpEndpoint; pub struct HttpServer;
