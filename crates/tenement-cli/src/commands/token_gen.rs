//! `ten token-gen`: make a token for the HTTP API. Opens the store itself, so that it works
//! with or without a running server.

use clap::Args;
use jiff::Timestamp;
use ten_server::auth;

use crate::{args::Global, connect, failure::Failure, output, time};

#[derive(Debug, Args)]
pub(crate) struct TokenGen {
    /// What it is for
    #[arg(long, default_value = "admin")]
    name: String,
    /// How long it is valid, such as 90d [default: for ever]
    #[arg(long, value_name = "SPAN")]
    expires: Option<String>,
    /// Only for instances with this id
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
}

impl TokenGen {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        if self.tenant.is_some() {
            return Err(Failure::unsupported("--tenant").why("every token is an admin token"));
        }
        let now = Timestamp::now();
        let expires_at = self.expires.as_deref().map(|text| time::after(text, now)).transpose();
        let expires_at =
            expires_at.map_err(|why| Failure::usage("cannot use --expires").why(why))?;
        let data_dir = connect::data_dir(global)?;
        let issued =
            auth::issue(data_dir.path(), self.name, now, expires_at).await.map_err(|error| {
                let fix = error.remedy();
                Failure::new("cannot make a token").because(error).fix(fix)
            })?;
        let saved = issued.saved.display();
        output::remark(global, format!("saved to {saved}; it is not shown again:"));
        output::print(&format!("  {}\n", issued.token))
    }
}
