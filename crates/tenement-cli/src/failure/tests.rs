//! What users read.

use ten_api::{Problem, ProblemType};
use ten_client::{Error, Target};

use super::*;

fn read(failure: &Failure) -> String {
    anstream::adapter::strip_str(&failure.render()).to_string()
}

#[test]
fn a_problem_is_three_lines() {
    let problem = Problem::new(ProblemType::UnknownInstance, "no instance is called api:prod")
        .with_hint("`ten ps -a` lists what is known");
    let failure = Failure::call("cannot stop api:prod", Error::Problem(problem));
    assert_eq!(
        read(&failure),
        "error: cannot stop api:prod\n  \
         why: no instance is called api:prod\n  \
         fix: `ten ps -a` lists what is known\n"
    );
    assert_eq!(failure.code, 1);
}

#[test]
fn a_missing_server_is_looked_for_by_name() {
    let unreachable = |kind: io::ErrorKind| {
        let target = Target::Socket("/data/ten.sock".into());
        Failure::call("cannot list", Error::Unreachable { target, source: kind.into() })
    };
    let missing = unreachable(io::ErrorKind::NotFound);
    assert_eq!(missing.fix.as_deref(), Some("is `ten serve` running? looked for /data/ten.sock"));
    assert_eq!(missing.code, 3);
    let hidden = unreachable(io::ErrorKind::PermissionDenied);
    assert!(hidden.fix.unwrap().contains("as root"));
}

#[test]
fn causes_are_told_on_one_line_and_drive_no_terminal() {
    #[derive(Debug)]
    struct Outer(io::Error);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot save")
        }
    }
    impl Error_ for Outer {
        fn source(&self) -> Option<&(dyn Error_ + 'static)> {
            Some(&self.0)
        }
    }
    use std::error::Error as Error_;
    let failure = Failure::new("x").because(Outer(io::Error::other("bell\x07\nline")));
    assert_eq!(read(&failure), "error: x\n  why: cannot save: bell␇␊line\n");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).code, 0);
}
