//! The wire forms that callers depend on.

use serde_json::{from_value, json, to_value};

use super::*;

#[test]
fn a_problem_has_the_members_of_rfc_9457() {
    let problem = Problem::new(ProblemType::UnknownService, "no service is called apo")
        .with_hint("`ten config` lists the services");
    let wire = to_value(&problem).unwrap();
    assert_eq!(
        wire,
        json!({
            "type": "urn:tenement:problem:unknown-service",
            "title": "There is no such service",
            "status": 404,
            "detail": "no service is called apo",
            "hint": "`ten config` lists the services",
        })
    );
    assert_eq!(from_value::<Problem>(wire).unwrap(), problem);
}

#[test]
fn process_means_service_and_waiting_is_the_default() {
    let spawn: SpawnRequest = from_value(json!({"process": "api", "id": "prod"})).unwrap();
    assert_eq!(spawn.service, "api");
    assert!(spawn.wait);
    assert!(spawn.env.is_empty());
}

#[test]
fn misspelt_fields_are_refused() {
    assert!(from_value::<SpawnRequest>(json!({"service": "a", "id": "b", "wiat": false})).is_err());
    assert!(from_value::<Weight>(json!({"weight": 20, "of": 100})).is_err());
    assert!(from_value::<Weight>(json!({"weight": 256})).is_err());
}

#[test]
fn words_are_the_same_on_the_wire_and_on_the_screen() {
    for state in [State::Sleeping, State::Running, State::Failed] {
        assert_eq!(to_value(state).unwrap(), json!(state.to_string()));
    }
    assert_eq!(to_value(Stream::Stderr).unwrap(), json!("stderr"));
    assert_eq!(to_value(Health::Degraded).unwrap(), json!("degraded"));
}

#[test]
fn paths_fill_in_their_patterns() {
    assert_eq!(paths::instance_stop("api", "prod"), "/api/instances/api/prod/stop");
}
