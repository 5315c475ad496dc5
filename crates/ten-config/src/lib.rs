//! What was typed in `tenement.toml`, turned into what it means.
//!
//! ```text
//! locate → Source → check (against `keys`) → typed::Section → meaning → ten_domain::Config
//!                     └──────── mistakes, all of them ────────┘→ ConfigErrors
//! ```
//!
//! `keys` is the only list of keys: parsing, suggestions and the JSON Schema read it. Nothing
//! here starts, creates or watches anything; the only file read besides the config is an
//! `env_file`. No key is ever ignored: what is not built yet is refused by name.

mod check;
mod dotenv;
pub mod init;
mod keys;
mod locate;
mod meaning;
mod mistakes;
mod schema;
mod source;
mod suggest;
mod syntax;
mod template;
mod typed;

pub use locate::{LocateError, locate};
pub use meaning::parse;
pub use mistakes::{ConfigErrors, Mistake};
pub use schema::schema;
pub use source::{ReadError, Source};
