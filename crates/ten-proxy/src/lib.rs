//! The data plane: listen → check → route → gate → forward; rescue.
//!
//! ```text
//! client ─▶ listen ─▶ check ─▶ route ─▶ gate ─▶ forward ─▶ pool/connect ─▶ instance
//!                       │        │       │ lease    │ 101
//!                       ▼        ▼       ▼          └─▶ tunnel
//!                     rescue: every fault → one answer
//! ```
//!
//! The proxy knows no supervisor, no process and no configuration: it asks a [`Upstreams`] for
//! routes and leases. Whatever a message came in, its head has the form of HTTP/1.1 here. No body is ever
//! held whole: each piece is passed on before the next is read, and none of a request's body is
//! read before its instance is ready.

mod access_log;
mod alarm;
mod body;
mod buffer;
mod check;
mod complaint;
mod connect;
mod date;
mod drain;
mod files;
mod forward;
mod framing;
mod head;
mod headers;
mod interim;
mod listen;
mod management;
mod pool;
mod proxy;
mod record;
mod reply;
mod request_id;
mod rescue;
mod seldom;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;
mod turn;
mod upload;
mod upstreams;
mod wire;
mod workers;

pub use access_log::{AccessLogger, MAX_WAITING_LINES};
pub use body::ManagementBody;
pub use drain::{Drain, DrainSignal, Drained};
pub use listen::Door;
pub use management::Management;
pub use proxy::Proxy;
pub use record::{Exchange, Observer, RequestLine};
pub use rescue::{ErrorPages, ErrorPagesError, MAX_PAGE};
pub use tls::{Certificates, Identity, IdentityError};
pub use upload::RequestBody;
pub use upstreams::{Lease, Refusal, Slot, Target, Upstreams};
pub use workers::Workers;
