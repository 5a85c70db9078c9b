//! Listening: what HTTP and gRPC stand on alike.
//!
//! ```text
//! Listener ─▶ accept ─▶ Security (TLS) ─▶ connection (HTTP/1.1, HTTP/2) ─▶ Front (head, token, log) ─▶ HTTP or gRPC
//!                │                               │
//!                └──── sweeps by ◀── Activity ◀──┴── Budget: bodies until they are answered, answers until they are written
//! ```
//!
//! [`ServerOptions`] has the limits on what clients may send and on how long they may take, TLS (feature `tls`), tokens and
//! admin routes. By default there is neither encryption nor authorisation: the port is for a trusted network then, or for
//! a proxy that has these.
//!
//! Architecture invariant: whatever a client holds (a connection, a body, an answer) is counted, has a limit of its own and
//! one for all, and is taken from the client that has held it for the longest when others want it.

mod accept;
mod activity;
mod answering;
mod auth;
mod body;
mod budget;
mod connection;
mod front;
mod handle;
mod listener;
mod options;
mod phase;
mod security;
mod signal;
#[cfg(feature = "tls")]
mod tls;
mod watched;

#[cfg(feature = "grpc")]
pub(super) use self::answering::Payload;
pub(super) use self::auth::Anonymous;
pub use self::auth::{BearerToken, BearerTokenService, Guarded, GuardedBody};
pub(super) use self::body::{BodyError, RequestBody};
pub(super) use self::budget::Budget;
pub(super) use self::front::Seen;
pub use self::handle::ServerHandle;
#[cfg(feature = "grpc")]
pub(super) use self::handle::Start;
pub(super) use self::handle::{Ports, Spoken};
pub(super) use self::options::check_address;
pub use self::options::{Admin, ServerOptions};
#[cfg(feature = "grpc")]
pub(super) use self::phase::Phase;
pub use self::signal::shutdown_signal;
#[cfg(feature = "tls")]
pub use self::tls::Tls;
