//! What can be typed, and what happens to what cannot.

use clap::{CommandFactory, error::ErrorKind};

use super::*;

fn refused(line: &str) -> clap::Error {
    Cli::try_parse_from(line.split_whitespace()).expect_err(line)
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn misuse_exits_with_2() {
    for (line, kind) in [
        ("ten", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("ten sqawn api:prod", ErrorKind::InvalidSubcommand),
        ("ten spawn", ErrorKind::MissingRequiredArgument),
        ("ten spawn api:prod --env NOVALUE", ErrorKind::ValueValidation),
        ("ten stop", ErrorKind::MissingRequiredArgument),
        ("ten stop api:prod --all", ErrorKind::ArgumentConflict),
        ("ten weight api:prod 101", ErrorKind::ValueValidation),
        ("ten weight api:prod -1", ErrorKind::UnknownArgument),
        ("ten ps --service Api", ErrorKind::ValueValidation),
        ("ten logs --level stdin", ErrorKind::InvalidValue),
        ("ten serve --port 65536", ErrorKind::ValueValidation),
        ("ten serve --staging", ErrorKind::MissingRequiredArgument),
    ] {
        let error = refused(line);
        assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{line}: {error}");
    }
}

#[test]
fn global_flags_stand_before_or_after_the_verb() {
    for line in ["ten --json ps -a", "ten ps -a --json", "ten ls --all --json"] {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        assert!(cli.global.json, "{line}");
        assert!(matches!(cli.verb, Verb::Ps(_)), "{line}");
    }
}

#[test]
fn the_front_is_no_verb_for_people() {
    let help = Cli::command().render_long_help().to_string();
    assert!(!help.contains("front"), "{help}");
    assert!(Cli::command().find_subcommand(ten_server::FRONT_VERB).is_some());
}
