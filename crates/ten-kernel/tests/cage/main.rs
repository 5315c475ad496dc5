//! What somebody who owns the front can do: a probe in the same cage tries it, as root and as an
//! ordinary user. Compared with `expected.txt`; `UPDATE_FIXTURES=1` writes that anew, to be read
//! and judged. A probe in no cage shows that the attempts are real.

mod attempts;
mod house;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["probe", cage, data] => {
            house::probe(cage == "caged", data.into());
            ExitCode::SUCCESS
        }
        _ => {
            let trial = Trial::test("nobody_gets_further_than_the_table_says", || {
                house::compare();
                Ok(())
            });
            let trial = match ten_kernel::is_root() {
                true => trial,
                false => {
                    trial.with_kind("runs as root, and becomes nobody").with_ignored_flag(true)
                }
            };
            libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
        }
    }
}
