//! What can be typed after `cargo xtask`.

use crate::{bench, ci, codegen, demo, failure::Failure, test, tidy};

const USAGE: &str = "\
cargo xtask demo [--once]        see two customers wake, sleep and wake; then try it yourself
cargo xtask test [FILTER…]       every test, installing what it needs; or those that match
cargo xtask ci                   what must hold before a change is merged
cargo xtask tidy                 the rules of the house that a machine can check
cargo xtask codegen              write anew what is made from code
cargo xtask bench wake [ARGS…]   how long waking takes, beside a bare spawn
cargo xtask bench proxy [ARGS…]  what a request costs, beside nginx, haproxy and caddy";

/// Does what was typed.
pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    match args {
        ["demo", rest @ ..] => demo::run(rest),
        ["test", filters @ ..] => test::run(filters),
        ["ci"] => ci::run(),
        ["tidy"] => tidy::run(),
        ["codegen"] => codegen::run(),
        ["bench", rest @ ..] => bench::run(rest),
        _ => Err(Failure::usage(USAGE)),
    }
}
